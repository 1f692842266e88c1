//! The reasons why a daemon cannot be started.

use std::path::PathBuf;
use std::{fmt, io};

use crate::base::listen_fds::ListenFdsError;
use crate::base::open_files::TooFew;
use crate::base::token::TokenError;
use crate::http::InheritedError;
use crate::manifest::ManifestError;
use crate::model::listen::ListenAddress;
use crate::process::PriorityError;

/// A daemon that could not be started.
#[derive(Debug)]
pub enum ServeError {
    /// The manifest cannot be used.
    Manifest(ManifestError),
    /// The niceness of programs is not permitted.
    ChildNice(PriorityError),
    /// The token cannot be used.
    Token(PathBuf, TokenError),
    /// The variables of a service manager are wrong.
    ListenFds(ListenFdsError),
    /// A socket of a service manager cannot be served.
    Inherited(InheritedError),
    /// Other machines could reach the address of this flag, and there is no token.
    Exposed(ListenFlag, ListenAddress),
    /// An address of this flag cannot be listened on.
    Listen(ListenFlag, ListenAddress, io::Error),
    /// Signal handlers cannot be installed.
    Signals(io::Error),
    /// The process may open too few files to serve anyone.
    OpenFiles(TooFew),
    /// The process has no file descriptors left.
    Descriptors(io::Error),
    /// The thread of this name cannot be started.
    Thread(&'static str, io::Error),
}

/// A flag with an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenFlag {
    /// The address of everything that the daemon serves.
    Listen,
    /// The address of the metrics alone.
    MetricsListen,
}

impl ServeError {
    /// Returns whether the command line, the environment or the manifest must be changed.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Manifest(_)
            | Self::ChildNice(_)
            | Self::Token(..)
            | Self::ListenFds(_)
            | Self::Inherited(_)
            | Self::Exposed(..)
            | Self::OpenFiles(_)
            | Self::Listen(..) => true,
            Self::Signals(_) | Self::Descriptors(_) | Self::Thread(..) => false,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => write!(f, "--manifest: {error}"),
            Self::ChildNice(error) => write!(f, "--child-nice {error}"),
            Self::Token(path, error) => write!(f, "--token-file {}: {error}", path.display()),
            Self::ListenFds(error) => error.fmt(f),
            Self::Inherited(error) => error.fmt(f),
            Self::Exposed(flag, address) => write!(
                f,
                "{} {}: it is not a loopback address: anyone who can reach it could {}; require a token with --token-file, or use 127.0.0.1, [::1] or unix:/path",
                flag.name(),
                as_given(address),
                flag.danger()
            ),
            Self::Listen(flag, address, error) => {
                write!(f, "{} {}: {error}", flag.name(), as_given(address))?;
                if error.kind() == io::ErrorKind::AddrInUse {
                    f.write_str("; is a daemon running already? Choose another address")?;
                }
                Ok(())
            }
            Self::Signals(error) => write!(f, "signals cannot be handled: {error}"),
            Self::OpenFiles(error) => error.fmt(f),
            Self::Descriptors(error) => write!(f, "no file descriptor can be created: {error}"),
            Self::Thread(name, error) => write!(f, "the {name} thread cannot be started: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

impl ListenFlag {
    fn name(self) -> &'static str {
        match self {
            Self::Listen => "--listen",
            Self::MetricsListen => "--metrics-listen",
        }
    }

    /// Returns what anyone could do who reaches the address.
    fn danger(self) -> &'static str {
        match self {
            Self::Listen => "run programs on this machine",
            Self::MetricsListen => "read the metrics",
        }
    }
}

fn as_given(address: &ListenAddress) -> String {
    let url = address.to_string();
    url.strip_prefix("http://").unwrap_or(&url).to_owned()
}
