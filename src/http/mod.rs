//! HTTP/1.0 and 1.1: listening, limits, the guard against web pages, routes and answers.
//!
//! The accept loop and the reading of requests are ours, with a bound and a deadline for everything that comes from
//! outside. `tiny_http` gives the message types and writes the heads of answers.

mod connection;
mod events;
mod guard;
mod handlers;
mod limits;
mod listener;
mod logs;
mod request;
mod response;
mod routes;
mod socket;
mod stream;

pub use guard::AllowedHosts;
pub use handlers::Service;
pub use limits::Limits;
pub use listener::{Bound, accept};
