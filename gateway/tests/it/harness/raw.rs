//! Raw bytes to the gateway, and the answers that come back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pingora::tls::{
    CertificateDer, ClientConfig, ClientTlsStream, DigitallySignedStruct, HandshakeSignatureValid,
    RusTlsError, ServerCertVerified, ServerCertVerifier, ServerName, SignatureScheme, TlsConnector,
    UnixTime, install_default_crypto_provider,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One answer on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as a problem of RFC 9457.
    pub(crate) fn problem(&self) -> serde_json::Value {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"], self.field("x-request-id").expect("an id"), "{self:?}");
        problem
    }
}

/// Sends `bytes` and reads until the gateway closes or is quiet for a while.
pub(crate) async fn exchange(gateway: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    exchange_slowly(gateway, &[bytes]).await
}

/// Sends `pieces` in segments of their own.
pub(crate) async fn exchange_slowly(gateway: SocketAddr, pieces: &[&[u8]]) -> Vec<Answer> {
    let mut stream = TcpStream::connect(gateway).await.expect("connects");
    stream.set_nodelay(true).expect("nodelay");
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    read_all(&mut stream).await
}

/// Everything that comes, and whether the gateway closed the connection in order.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<Answer> {
    let mut bytes = Vec::new();
    let mut space = vec![0; 65_536];
    loop {
        match tokio::time::timeout(Duration::from_millis(700), stream.read(&mut space)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(count)) => bytes.extend_from_slice(&space[..count]),
            Ok(Err(error)) => panic!("reset: {error}, after {}", bytes.escape_ascii()),
        }
    }
    parse(&bytes)
}

fn parse(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        if answer.field("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = bytes.windows(2).position(|window| window == b"\r\n").expect("a size");
                let size = std::str::from_utf8(&bytes[..line]).expect("digits");
                let size = usize::from_str_radix(size, 16).expect("a size");
                body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
                bytes = &bytes[line + 2 + size + 2..];
                if size == 0 {
                    break;
                }
            }
            answer.body = String::from_utf8(body).expect("text");
        } else {
            let length =
                answer.field("content-length").map_or(0, |text| text.parse().expect("a number"));
            let length = if answer.status == 100 { 0 } else { length };
            let body = bytes.get(..length).unwrap_or(bytes);
            answer.body = String::from_utf8_lossy(body).into_owned();
            bytes = bytes.get(length..).unwrap_or_default();
        }
        answers.push(answer);
    }
    answers
}

/// A TLS connection that offers `alpn` and believes every certificate.
pub(crate) async fn tls(gateway: SocketAddr, alpn: &[&str]) -> ClientTlsStream<TcpStream> {
    install_default_crypto_provider();
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway).await.expect("connects");
    stream.set_nodelay(true).expect("nodelay");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RusTlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
        ]
    }
}
