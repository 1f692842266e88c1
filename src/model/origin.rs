//! The client that asked for something, as the log names it.

use crate::base::event::{Field, Value};

/// The client that asked for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that it called from, or the kind of its socket.
    pub address: String,
    /// Its user and process, where the kernel tells.
    pub credentials: Option<Credentials>,
}

/// The user and the process at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The number of the user, in the daemon's user namespace.
    pub uid: u32,
    /// The number of the process that connected, in the daemon's process namespace. Only unix sockets show it.
    pub pid: Option<i32>,
}

impl Origin {
    /// Returns the fields by which the log names it.
    pub fn fields(&self) -> [Field<'_>; 3] {
        let number = |number: Option<i64>| number.map_or(Value::Absent, Value::Number);
        let pid = self.credentials.and_then(|one| one.pid);
        [
            ("address", Value::Text(&self.address)),
            ("uid", number(self.credentials.map(|one| one.uid.into()))),
            ("pid", number(pid.map(i64::from))),
        ]
    }
}
