//! A secret that clients must know, kept in a file.

use std::fmt;
use std::fs::Metadata;
use std::hint::black_box;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::regular_file;

/// The length of a token, in characters. A shorter one could be guessed.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;

/// A secret that clients must know. It does not show its characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A file that holds no token, or that others may read.
#[derive(Debug)]
pub enum TokenError {
    /// The file cannot be read.
    Io(io::Error),
    /// The file belongs to this user, who is neither this process's nor root.
    Owner(u32),
    /// Others than the owner have these permissions.
    Permissions(u32),
    /// The content is too short or too long.
    Length,
    /// The content has a character that a token cannot have.
    Character,
}

impl Token {
    /// Reads a token from a file that belongs to this user or to root, and that nobody else may read or write. A line
    /// break at its end does not count.
    pub fn read(path: &Path) -> Result<(Self, Metadata), TokenError> {
        let (file, metadata) = regular_file::open(path).map_err(TokenError::Io)?;
        let own = rustix::process::geteuid().as_raw();
        if ![own, 0].contains(&metadata.uid()) {
            return Err(TokenError::Owner(metadata.uid()));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(TokenError::Permissions(metadata.mode() & 0o777));
        }
        let mut content = Vec::new();
        // A line break of two characters, and one more that makes the token too long.
        let longest = *LENGTH.end() as u64 + 3;
        let read = file.take(longest).read_to_end(&mut content);
        read.map_err(TokenError::Io)?;
        Ok((Self::parse(&content)?, metadata))
    }

    fn parse(content: &[u8]) -> Result<Self, TokenError> {
        let line = content.strip_suffix(b"\n").unwrap_or(content);
        let token = line.strip_suffix(b"\r").unwrap_or(line);
        if !LENGTH.contains(&token.len()) {
            return Err(TokenError::Length);
        }
        // The characters of a bearer token (RFC 6750, section 2.1).
        let is_right = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        match std::str::from_utf8(token) {
            Ok(text) if token.iter().all(is_right) => Ok(Self(text.to_owned())),
            _ => Err(TokenError::Character),
        }
    }

    /// Compares the token with what a client has sent. The time depends on the length of that alone, so that nobody
    /// finds out the token byte by byte.
    pub fn is(&self, sent: &str) -> bool {
        let own = self.0.as_bytes().iter().cycle();
        let pairs = own.zip(sent.as_bytes());
        let difference = pairs.fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
        self.0.len() == sent.len() && difference == 0
    }

    /// Returns the value of the header that sends it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidInput => {
                f.write_str("it should be a regular file")
            }
            Self::Io(error) => error.fmt(f),
            Self::Owner(uid) => write!(
                f,
                "user {uid} owns the file and could change it: give it to the daemon's user with chown"
            ),
            Self::Permissions(mode) => write!(
                f,
                "others have permissions for the file (mode {mode:03o}): take them away with chmod 600"
            ),
            Self::Length => write!(
                f,
                "the file should hold one token of {} to {} characters; openssl rand -hex 32 makes one",
                LENGTH.start(),
                LENGTH.end()
            ),
            Self::Character => f.write_str(
                "the file should hold one line with a token of letters, digits and -._~+/= only; openssl rand -hex 32 makes one",
            ),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::test_dir::TestDir;

    const TOKEN: &str = "0123456789abcdefABCDEF-._~+/=";

    #[test]
    fn a_token_is_one_line() {
        for end in ["", "\n", "\r\n"] {
            let token = Token::parse(format!("{TOKEN}{end}").as_bytes()).unwrap();
            assert!(token.is(TOKEN));
        }
        let long = "a".repeat(1024);
        assert!(Token::parse(long.as_bytes()).is_ok());
        for bad in [
            "",
            "\n",
            "short",
            "0123456789abcde",
            &format!("{long}a"),
            &format!("{TOKEN}\n\n"),
            &format!("{TOKEN}\n{TOKEN}\n"),
            &format!(" {TOKEN}"),
            &format!("{TOKEN}\u{e9}"),
            &format!("{TOKEN}\0"),
        ] {
            assert!(Token::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::parse(TOKEN.as_bytes()).unwrap();
        let twice = format!("{TOKEN}{TOKEN}");
        let longer = format!("{TOKEN}0");
        let upper = TOKEN.to_uppercase();
        for other in ["", &TOKEN[1..], &TOKEN[..28], &twice, &longer, &upper] {
            assert!(!token.is(other), "{other}");
        }
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::parse(TOKEN.as_bytes()).unwrap();
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = TestDir::new();
        let path = dir.write("token", TOKEN);
        for (mode, expected) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some("mode 640")),
            (0o604, Some("mode 604")),
            (0o620, Some("chmod 600")),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Token::read(&path).err().map(|e| e.to_string());
            match expected {
                None => assert_eq!(error, None, "{mode:o}"),
                Some(expected) => assert!(error.unwrap().contains(expected), "{mode:o}"),
            }
        }
        assert!(Token::read(dir.path()).is_err());
        assert!(Token::read(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let dir = TestDir::new();
        let path = dir.write("token", TOKEN);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if std::os::unix::fs::chown(&path, Some(54321), None).is_err() {
            eprintln!("not tested: a file of another user, which only root can make");
            return;
        }
        let error = Token::read(&path).unwrap_err().to_string();
        assert!(error.contains("user 54321 owns the file"), "{error}");
    }
}
