//! Small tools that know nothing of containers.

pub mod count;
#[cfg(any(test, fuzzing))]
pub mod cut;
pub mod event;
pub mod flock;
pub mod journal;
pub mod json;
pub mod lines;
pub mod links;
pub mod listen_fds;
pub mod logging;
pub mod notify;
pub mod open_files;
pub mod path_text;
pub mod poll;
pub mod pool;
pub mod regular_file;
pub mod sd_notify;
pub mod similar;
#[cfg(test)]
pub mod test_dir;
pub mod text;
pub mod threads;
pub mod time;
pub mod token;
pub mod unix_socket;
pub mod within;
