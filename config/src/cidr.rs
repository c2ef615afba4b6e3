//! A range of IP addresses as a setting: `10.0.0.0/8`, `::1`.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text_setting;

/// A range of IP addresses (`10.0.0.0/8`), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

/// A text that is not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range of IP addresses; write one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")]
pub struct InvalidCidr;

impl Cidr {
    /// Whether `address` lies in the range. An IPv4 address that arrives on an IPv6 socket
    /// (`::ffff:10.0.0.1`) counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_| InvalidCidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_setting::deserialize(deserializer, "a range of IP addresses such as \"10.0.0.0/8\"")
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Cidr {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_its_own_in_every_spelling() {
        let net: Cidr = "10.1.2.3/8".parse().expect("cidr");
        assert_eq!(net.to_string(), "10.0.0.0/8");
        for (address, inside) in
            [("10.9.9.9", true), ("11.0.0.1", false), ("::ffff:10.0.0.1", true), ("::1", false)]
        {
            assert_eq!(net.contains(address.parse().expect(address)), inside, "{address}");
        }
        let one: Cidr = "::1".parse().expect("cidr");
        assert!(one.contains("::1".parse().expect("address")));
        assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(InvalidCidr));
        assert_eq!("localhost".parse::<Cidr>(), Err(InvalidCidr));
    }
}
