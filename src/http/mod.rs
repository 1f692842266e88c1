//! The HTTP interface: listening, limits, the guard against web pages, routes and answers, for HTTP/1.0 and 1.1.
//!
//! A request goes through these modules in this order: `listener` accepts its connection, `peer` admits its user,
//! `connection` serves it, `reader`, `request` and `headers` parse it, `guard` and `access` admit it, `routes` finds its
//! action, `handlers` acts, and `response` or `stream` answers. `service` is the only module with access to the state,
//! `errors` the only one that knows the error table.
//!
//! The accept loop and the parsing of requests are our own, with a bound and a deadline for everything that comes from
//! outside, and without an allocation on the way of a cached list. `tiny_http` gives the methods and the reasons of statuses.

mod access;
mod add_request;
mod connection;
mod encode;
mod errors;
mod events;
#[cfg(test)]
mod examples;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod handlers;
mod headers;
mod inherited;
mod limits;
mod listener;
mod logs;
mod long_poll;
mod metrics;
mod openapi;
mod page;
mod peer;
mod places;
mod presence;
mod query;
mod reader;
mod reasons;
mod refusals;
mod request;
mod response;
mod routes;
mod service;
mod socket;
mod stream;
mod text;

pub use access::{Access, TokenFile};
pub use guard::AllowedHosts;
pub use inherited::InheritedError;
pub use listener::{Acceptor, Bound, is_stale};
pub use peer::AllowedUsers;
pub use places::Places;
pub use service::Service;
