//! The listener: accepts connections, checks the bytes of every HTTP/1 request before Pingora parses
//! them, bounds what slow clients and what one address can hold, and closes in order when the gateway stops.
//!
//! Pingora answers a request that its own parser refuses without asking anybody, takes several framings
//! for what they are not, and has no deadline for a whole head. So it never reads from a client here: it
//! is handed one checked head at a time, and a stream that ends where the checked body ends.

mod connection;
mod drain;
mod idle;
pub(crate) mod linger;
mod seldom;
mod serve;
mod share;
mod tls;
mod unended;

pub(crate) use self::{
    connection::Connection,
    drain::Drain,
    serve::{Front, FrontSettings},
    tls::{TlsError, load as load_tls},
    unended::{Arriving, Connections, Stream},
};
