//! `haetae up --https`: a certificate authority for this machine alone, made once, and a certificate for
//! localhost under it, made at each start. Whoever trusts `ca.crt` can use https without a warning; its key
//! stays in the data folder.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use haetae_base::clock::{Clock, SystemClock, Timestamp};
use haetae_config::{Config, Override, gateway::Tls};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

/// How long the authority is good for: it is trusted by hand, which nobody wants to do often.
const AUTHORITY_LIVES: Duration = Duration::from_hours(24 * 3650);
/// How long the certificate is: browsers take nothing beyond 398 days, and each start makes another.
const CERTIFICATE_LIVES: Duration = Duration::from_hours(24 * 90);
/// Clocks differ.
const BACKDATED: Duration = Duration::from_hours(1);

/// The files of the authority, and of the certificate, in `DIR/tls`.
#[derive(Debug)]
pub(crate) struct DevelopmentCa {
    /// The certificate that a browser has to trust.
    pub(crate) authority: PathBuf,
    /// What the gateway serves with.
    pub(crate) tls: Tls,
}

/// What `--https` changes about the defaults.
pub(crate) fn defaults() -> Vec<Override> {
    [("public_url", "https://localhost:8443"), ("gateway.listen", "127.0.0.1:8443")]
        .map(|(key, text)| Override {
            flag: "--https".to_owned(),
            key: key.to_owned(),
            text: text.to_owned(),
        })
        .into()
}

impl DevelopmentCa {
    /// Makes what is missing, and a fresh certificate for localhost and the host of `public_url`.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub(crate) fn prepare(config: &Config) -> Result<Self> {
        let folder = config.in_data_dir("tls");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let now = SystemClock.now();
        let (authority, authority_key) = (folder.join("ca.crt"), folder.join("ca.key"));
        let key = match fs::read_to_string(&authority_key) {
            Ok(pem) if authority.exists() => KeyPair::from_pem(&pem).with_context(|| {
                format!("{} is no key; remove {}", authority_key.display(), folder.display())
            })?,
            _ => {
                let key = KeyPair::generate()?;
                let certificate = authority_params(now)?.self_signed(&key)?;
                write(&authority_key, &key.serialize_pem())?;
                write(&authority, &certificate.pem())?;
                key
            }
        };
        // Names the issuer and its key as the certificate in the file does, whenever that was made.
        let issuer = Issuer::new(authority_params(now)?, key);
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf_params(config, now)?.signed_by(&leaf_key, &issuer)?;
        let tls =
            Tls { certificate: folder.join("localhost.crt"), key: folder.join("localhost.key") };
        write(&tls.key, &leaf_key.serialize_pem())?;
        write(&tls.certificate, &leaf.pem())?;
        Ok(Self { authority, tls })
    }
}

fn authority_params(now: Timestamp) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Haetae development CA");
    // It vouches for certificates of sites, not for other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = lives(now, AUTHORITY_LIVES)?;
    Ok(params)
}

fn leaf_params(config: &Config, now: Timestamp) -> Result<CertificateParams> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(config.public_url.domain().map(str::to_owned).filter(|name| name != "localhost"));
    let mut params = CertificateParams::new(names)?;
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    params.subject_alt_names.extend(loopback.map(SanType::IpAddress));
    params.distinguished_name.push(DnType::CommonName, "Haetae on this machine");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = lives(now, CERTIFICATE_LIVES)?;
    Ok(params)
}

/// From a little before now, for so long.
fn lives(now: Timestamp, long: Duration) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let at = |instant: Timestamp| {
        OffsetDateTime::from_unix_timestamp(instant.as_millis() / 1000)
            .context("the clock of this machine is far off")
    };
    Ok((at(now.minus(BACKDATED))?, at(now.plus(long))?))
}

/// Puts `pem` in the place of what was there, for the owner only.
fn write(path: &Path, pem: &str) -> Result<()> {
    let replace = || -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, path)
    };
    replace().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_stays_and_the_certificate_is_made_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let config = Config::for_tests(folder.path());
        let first = DevelopmentCa::prepare(&config).expect("made");
        let read = |path: &Path| fs::read_to_string(path).expect("PEM");
        let (authority, leaf) = (read(&first.authority), read(&first.tls.certificate));
        let again = DevelopmentCa::prepare(&config).expect("made");
        assert_eq!(read(&again.authority), authority, "whoever trusts it goes on trusting it");
        assert_ne!(read(&again.tls.certificate), leaf);
        fs::write(folder.path().join("tls/ca.key"), "junk").expect("writes");
        let error = DevelopmentCa::prepare(&config).expect_err("no key").to_string();
        assert!(error.contains("ca.key is no key; remove "), "{error}");
    }
}
