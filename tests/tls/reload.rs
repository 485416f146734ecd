//! Certificates that are replaced while a server runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use netrpc::tls::{Source, TlsClientConfig, TlsServerConfig, rustls};

use crate::{
    Authority, Pair, dial, identity::refusal, is_alive, listen, plain_server, server, trusting,
};

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("tls-{test}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> Source {
        Source::file(self.0.join(name))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn pair(&self, pair: &Pair) {
        self.write("own.pem", &pair.certificate);
        self.write("own.key", &pair.key);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let folder = Folder::new("reload");
    folder.pair(&before.issue("localhost"));
    let tls = TlsServerConfig::builder()
        .certificate(folder.file("own.pem"), folder.file("own.key"))
        .build()
        .unwrap();
    let addr = listen(&server(&tls)).await;
    let (trusts_before, trusts_after) = (trusting(&before), trusting(&after));
    let old = dial(addr, &trusts_before).await.unwrap();
    is_alive(&old).await;

    folder.pair(&after.issue("localhost"));
    is_alive(&dial(addr, &trusts_before).await.unwrap()).await; // nobody has said reload yet
    tls.reload().unwrap();
    is_alive(&dial(addr, &trusts_after).await.unwrap()).await;
    is_alive(&old).await;
    // Nor is a session of before a way in for those who do not trust the new one.
    let text = refusal(dial(addr, &trusts_before).await).await;
    assert!(text.contains("not from an authority that this client trusts"), "{text}");
}

#[tokio::test]
async fn a_reload_that_fails_says_why_and_changes_nothing() {
    let authority = Authority::new("authority");
    let folder = Folder::new("failed-reload");
    let (own, other) = (authority.issue("localhost"), authority.issue("localhost"));
    folder.pair(&own);
    let tls = TlsServerConfig::builder()
        .certificate(folder.file("own.pem"), folder.file("own.key"))
        .build()
        .unwrap();
    let addr = listen(&server(&tls)).await;
    let client = trusting(&authority);
    let damaged = own.certificate.replace("\n-----END", "!\n-----END");
    let cases = [
        ("own.key", other.key.as_bytes(), "is not that of the certificate in"),
        ("own.key", own.certificate.as_bytes(), "there is no private key in"),
        ("own.key", b"", "there is no private key in"),
        ("own.pem", b"", "there is no certificate in"),
        ("own.pem", own.key.as_bytes(), "there is no certificate in"),
        ("own.pem", damaged.as_bytes(), "is damaged"),
    ];
    for (name, content, expected) in cases {
        folder.pair(&own);
        folder.write(name, content);
        let text = tls.reload().expect_err(expected).to_string();
        assert!(text.contains(expected) && text.contains(name), "{text}");
        is_alive(&dial(addr, &client).await.unwrap()).await;
    }
    fs::remove_file(folder.0.join("own.pem")).unwrap();
    let text = tls.reload().unwrap_err().to_string();
    assert!(text.contains("cannot read") && text.contains("own.pem"), "{text}");
    is_alive(&dial(addr, &client).await.unwrap()).await;
}

#[tokio::test]
async fn a_client_reads_its_own_again_too() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let addr = listen(&server(&plain_server(&after))).await;
    let folder = Folder::new("client-reload");
    folder.write("roots.pem", before.pem());
    let tls = TlsClientConfig::builder().roots(folder.file("roots.pem")).build().unwrap();
    refusal(dial(addr, &tls).await).await;
    folder.write("roots.pem", format!("{}{}", before.pem(), after.pem()));
    tls.reload().unwrap();
    is_alive(&dial(addr, &tls).await.unwrap()).await;
    folder.write("roots.pem", "nobody");
    tls.reload().unwrap_err();
    is_alive(&dial(addr, &tls).await.unwrap()).await;
}

#[tokio::test]
async fn a_configuration_of_ones_own_is_used_and_replaced() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = |authority: &Authority| {
        use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
        let pair = authority.issue("localhost");
        rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![pair.der.into()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap()
    };
    let tls = TlsServerConfig::from_rustls(config(&before));
    let addr = listen(&server(&tls)).await;
    is_alive(&dial(addr, &trusting(&before)).await.unwrap()).await;
    let text = tls.reload().unwrap_err().to_string();
    assert!(text.contains("`replace`"), "{text}");
    tls.replace(config(&after));
    is_alive(&dial(addr, &trusting(&after)).await.unwrap()).await;
}

#[test]
fn der_is_as_good_as_pem() {
    let authority = Authority::new("authority");
    let pair = authority.issue("localhost");
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    TlsServerConfig::builder()
        .certificate(Source::bytes(pair.der), Source::bytes(key.secret_der().to_vec()))
        .build()
        .unwrap();
}
