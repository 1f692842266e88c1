//! Who asked for something, as the log names them.

use std::fmt;

/// The client that asked for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that it called from, or the kind of its socket.
    pub address: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}
