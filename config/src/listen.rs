//! An address to listen on, as a setting: `127.0.0.1:8080`, `[::]:8080`, `localhost:0`.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text_setting;

/// An address to listen on. Port 0 lets the system pick a free one. `localhost` is 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddr(SocketAddr);

/// A text that is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address to listen on; write IP:PORT, such as 127.0.0.1:8080 or [::]:8080")]
pub struct InvalidListenAddr;

impl ListenAddr {
    /// The address.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl Deref for ListenAddr {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.0
    }
}

impl From<SocketAddr> for ListenAddr {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl From<ListenAddr> for SocketAddr {
    fn from(address: ListenAddr) -> Self {
        address.0
    }
}

impl FromStr for ListenAddr {
    type Err = InvalidListenAddr;

    fn from_str(text: &str) -> Result<Self, InvalidListenAddr> {
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| InvalidListenAddr)?;
            return Ok(Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        text.parse().map(Self).map_err(|_| InvalidListenAddr)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_setting::deserialize(deserializer, "an address such as \"127.0.0.1:8080\"")
    }
}

impl Serialize for ListenAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ListenAddr {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ListenAddr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^.+:[0-9]{1,5}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_localhost() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::]:0", "[::]:0"),
            ("localhost:9080", "127.0.0.1:9080"),
        ] {
            assert_eq!(text.parse::<ListenAddr>().expect(text).to_string(), expected);
        }
        for text in ["8080", ":8080", "example.com:80", "127.0.0.1", "localhost:99999"] {
            assert_eq!(text.parse::<ListenAddr>(), Err(InvalidListenAddr), "{text}");
        }
    }
}
