//! The services behind the gateway: their instances, which of them live, and which is asked next.

mod breaker;
mod health;
mod pool;

pub(crate) use self::{
    health::watch,
    pool::{Endpoint, Pool},
};
