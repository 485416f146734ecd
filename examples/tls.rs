//! TLS on both sides: a server that wants to know its clients, and a certificate that is replaced.
//!
//! ```text
//! cargo run --example tls --features tls
//! ```
//!
//! prints
//!
//! ```text
//! billing says: hello spiffe://example/billing
//! nobody is told: the server wants this client's certificate: TlsClientConfigBuilder::certificate
//! in the clear: this server takes only connections with TLS
//! a reload with another's key: refused
//! the new certificate is served, and the old connection goes on: hello spiffe://example/billing
//! who does not know the new authority is told: cannot connect
//! ```
//!
//! The certificates are made here, by an authority of the example's own, into a folder that is deleted
//! at the end. Yours come from your own authority (`step-ca`, Vault, cert-manager, `openssl`), and a
//! server reads them again when they have been replaced: [`TlsServerConfig::reload`].
//!
//! What a certificate says is for the handler to judge: here the URI that SPIFFE gives a service.

use std::{error::Error as _, fs, path::Path};

use netrpc::{
    Client, Context, Fault, Server, service,
    tls::{Source, TlsClientConfig, TlsServerConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

struct Greeter;

#[service]
impl Greeter {
    fn hello(&self, cx: &Context, (): (), reply: &mut String) -> Result<(), Fault> {
        let identity = cx.peer_identity().ok_or_else(|| Fault::new("nobody is there"))?;
        let [uri] = identity.uris() else { return Err(Fault::new("whose service are you?")) };
        *reply = format!("hello {uri}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("netrpc-tls-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let ran = run(&folder).await;
    fs::remove_dir_all(&folder)?;
    ran
}

async fn run(folder: &Path) -> anyhow::Result<()> {
    let file = |name: &str| Source::file(folder.join(name));
    let authority = authority("our authority")?;
    fs::write(folder.join("authority.pem"), authority.pem())?;
    issue(&authority, folder, "server", SanType::DnsName("localhost".try_into()?))?;
    issue(&authority, folder, "billing", SanType::URI("spiffe://example/billing".try_into()?))?;

    let server_tls = TlsServerConfig::builder()
        .certificate(file("server.pem"), file("server.key"))
        .require_client_certificates(file("authority.pem"))
        .build()?;
    let server = Server::builder().tls(&server_tls).build();
    server.register(Greeter)?;
    let listener = tokio::net::TcpListener::bind("localhost:0").await?;
    let addr = ("localhost", listener.local_addr()?.port());
    tokio::spawn(server.serve(listener));

    // Verified both ways: the server by the name that is dialled, the client by its certificate.
    let billing_tls = TlsClientConfig::builder()
        .roots(file("authority.pem"))
        .certificate(file("billing.pem"), file("billing.key"))
        .build()?;
    let billing = Client::builder().tls(&billing_tls).dial(addr).await?;
    println!("billing says: {}", hello(&billing).await?);

    // Who has no certificate learns it from his first call: by then the server has looked.
    let nobody_tls = TlsClientConfig::builder().roots(file("authority.pem")).build()?;
    let nobody = Client::builder().tls(&nobody_tls).dial(addr).await?;
    let error = hello(&nobody).await.expect_err("nobody is refused");
    assert!(!error.may_have_run());
    println!("nobody is told: {}", cause(&error, 2));

    let clear = Client::dial(addr).await?;
    let error = hello(&clear).await.expect_err("nobody is served in the clear");
    println!(
        "in the clear: {}",
        cause(&error, 1).trim_start_matches("the peer ended the connection: ")
    );

    // A certificate is replaced. What does not fit together changes nothing.
    let newer = self::authority("our newer authority")?;
    issue(&newer, folder, "server", SanType::DnsName("localhost".try_into()?))?;
    let key = fs::read(folder.join("server.key"))?;
    fs::copy(folder.join("billing.key"), folder.join("server.key"))?;
    let refused = server_tls.reload().is_err();
    println!("a reload with another's key: {}", if refused { "refused" } else { "taken" });
    fs::write(folder.join("server.key"), key)?;
    server_tls.reload()?;
    println!(
        "the new certificate is served, and the old connection goes on: {}",
        hello(&billing).await?
    );

    let error =
        Client::builder().tls(&billing_tls).dial(addr).await.expect_err("it trusts the old one");
    let text = error.to_string();
    println!(
        "who does not know the new authority is told: {}",
        &text[..text.find(" to ").unwrap_or(0)]
    );
    Ok(())
}

async fn hello(client: &Client) -> Result<String, netrpc::Error> {
    client.call("Greeter.Hello", &()).await
}

/// The cause so many levels below an error.
fn cause(error: &netrpc::Error, depth: usize) -> String {
    let mut cause = error.source();
    for _ in 1..depth {
        cause = cause.and_then(|cause| cause.source());
    }
    cause.map_or_else(String::new, ToString::to_string)
}

fn authority(name: &str) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Writes a certificate for this name, and its key.
fn issue(
    authority: &CertifiedIssuer<'_, KeyPair>,
    folder: &Path,
    file: &str,
    name: SanType,
) -> anyhow::Result<()> {
    let mut params = CertificateParams::new([])?;
    params.subject_alt_names.push(name);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    fs::write(folder.join(file).with_extension("pem"), certificate.pem())?;
    fs::write(folder.join(file).with_extension("key"), key.serialize_pem())?;
    Ok(())
}
