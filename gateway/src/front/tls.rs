//! The certificate of the listener.

use std::{path::Path, sync::Arc};

use pingora::tls::{
    ServerConfig, TlsAcceptor, install_default_crypto_provider, load_certs_and_key_files, version,
};

/// A certificate that cannot be used, in a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM.
    #[error("gateway.tls: cannot read {certificate} or {key}: {source}")]
    Files {
        /// The certificate chain.
        certificate: String,
        /// The private key.
        key: String,
        /// Why.
        source: Box<pingora::Error>,
    },
    /// One of the files has nothing of the kind in it.
    #[error(
        "gateway.tls: {certificate} has no certificate, or {key} no private key; both must be PEM"
    )]
    Empty {
        /// The certificate chain.
        certificate: String,
        /// The private key.
        key: String,
    },
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("gateway.tls: the certificate and the key cannot be used together: {0}")]
    Unusable(#[from] pingora::tls::RusTlsError),
}

/// Loads a certificate chain and its key. HTTP/2 is offered first. All versions that are served are named: a
/// client that names one which is not is hung up on (RFC 7301 3.2).
///
/// # Errors
/// [`TlsError`].
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let loaded = load_certs_and_key_files(&certificate, &key).map_err(|source| {
        TlsError::Files { certificate: certificate.clone(), key: key.clone(), source }
    })?;
    let Some((chain, private)) = loaded else {
        return Err(TlsError::Empty { certificate, key });
    };
    install_default_crypto_provider();
    let mut config =
        ServerConfig::builder_with_protocol_versions(&[&version::TLS12, &version::TLS13])
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
