//! Who a client has proved to be.

use netrpc::{Client, Context, Error, Fault, Server, service, tls::TlsServerConfig};
use rcgen::{DnType, SanType, SerialNumber};
use serde::{Deserialize, Serialize};

use crate::{
    Authority, common::soon, dial, is_alive, known, listen, mutual_server, plain_server, server,
    trusting,
};

/// All there is to know of a caller.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    certificate: Vec<u8>,
    chain: usize,
    common_name: Option<String>,
    dns_names: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    ip_addresses: Vec<std::net::IpAddr>,
}

struct Door;

#[service]
impl Door {
    fn known(&self, cx: &Context, (): (), reply: &mut Known) -> Result<(), Fault> {
        let identity = cx.peer_identity().ok_or_else(|| Fault::new("nobody"))?;
        *reply = Known {
            certificate: identity.certificate().to_vec(),
            chain: identity.chain().len(),
            common_name: identity.common_name().map(str::to_owned),
            dns_names: identity.dns_names().to_vec(),
            uris: identity.uris().to_vec(),
            emails: identity.emails().to_vec(),
            ip_addresses: identity.ip_addresses().to_vec(),
        };
        Ok(())
    }
}

async fn who(client: &Client) -> Result<String, Error> {
    soon(client.call("Echo.Who", &())).await
}

#[tokio::test]
async fn a_handler_sees_every_name_in_its_callers_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = Server::builder().tls(&mutual_server(&servers, &clients)).build();
    server.register(Door).unwrap();
    let addr = listen(&server).await;
    let mut pair = clients.issue_with("billing.internal", |params| {
        params.distinguished_name.push(DnType::CommonName, "billing");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        let text = |text: &str| text.try_into().unwrap();
        params.subject_alt_names.extend([
            SanType::DnsName(text("*.billing.internal")),
            SanType::URI(text("spiffe://internal/billing")),
            SanType::Rfc822Name(text("billing@example.org")),
            SanType::IpAddress([10, 1, 2, 3].into()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ]);
    });
    // It may send more than its own.
    pair.certificate += &clients.pem();
    let client = dial(addr, &known(&servers, &pair)).await.unwrap();
    let seen: Known = soon(client.call("Door.Known", &())).await.unwrap();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let expected = Known {
        certificate: pair.der,
        chain: 2,
        common_name: Some("billing".to_owned()),
        dns_names: names(&["billing.internal", "*.billing.internal"]),
        uris: names(&["spiffe://internal/billing"]),
        emails: names(&["billing@example.org"]),
        ip_addresses: vec![[10, 1, 2, 3].into(), "2001:db8::7".parse().unwrap()],
    };
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn of_several_common_names_none_is_believed() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = Server::builder().tls(&mutual_server(&servers, &clients)).build();
    server.register(Door).unwrap();
    let addr = listen(&server).await;
    for (names, expected) in [(1, Some("name 0".to_owned())), (0, None)] {
        let pair = clients.issue_with("x.internal", |params| {
            for n in 0..names {
                params.distinguished_name.push(DnType::CommonName, format!("name {n}"));
            }
        });
        let client = dial(addr, &known(&servers, &pair)).await.unwrap();
        let seen: Known = soon(client.call("Door.Known", &())).await.unwrap();
        assert_eq!(seen.common_name, expected);
    }
}

#[tokio::test]
async fn every_connection_has_its_own_identity() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let addr = listen(&server(&mutual_server(&servers, &clients))).await;
    let mut callers = Vec::new();
    for name in ["a.internal", "b.internal", "c.internal"] {
        let tls = known(&servers, &clients.issue(name));
        callers.push((name, dial(addr, &tls).await.unwrap()));
        // Again, with the same configuration: were a session resumed, it would be the same.
        callers.push((name, dial(addr, &tls).await.unwrap()));
    }
    for (name, client) in &callers {
        assert_eq!(who(client).await.unwrap(), *name);
    }
}

#[tokio::test]
async fn where_certificates_are_welcome_one_can_come_without() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (certificate, key) = servers.issue("localhost").sources();
    let tls = TlsServerConfig::builder()
        .certificate(certificate, key)
        .accept_client_certificates(clients.root());
    let addr = listen(&server(&tls.build().unwrap())).await;
    let nobody = dial(addr, &trusting(&servers)).await.unwrap();
    assert_eq!(who(&nobody).await.unwrap_err().to_string(), "somebody");
    let somebody = dial(addr, &known(&servers, &clients.issue("a.internal"))).await.unwrap();
    assert_eq!(who(&somebody).await.unwrap(), "a.internal");
    // One that proves nothing is no better here.
    let stranger = Authority::new("others").issue("a.internal");
    let stranger = dial(addr, &known(&servers, &stranger)).await;
    let text = refusal(stranger).await;
    assert!(text.contains("does not accept the authority"), "{text}");
    is_alive(&somebody).await;
}

#[tokio::test]
async fn a_certificate_that_nobody_asked_for_says_nothing() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let addr = listen(&server(&plain_server(&servers))).await;
    let client = dial(addr, &known(&servers, &clients.issue("a.internal"))).await.unwrap();
    assert_eq!(who(&client).await.unwrap_err().to_string(), "somebody");
    // And a server without TLS knows nobody.
    let plain = Server::new();
    plain.register(crate::Echo).unwrap();
    let client = crate::common::dial(&plain).await;
    assert_eq!(who(&client).await.unwrap_err().to_string(), "somebody");
}

#[tokio::test]
async fn whose_certificate_was_revoked_is_refused() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (certificate, key) = servers.issue("localhost").sources();
    let tls = TlsServerConfig::builder()
        .certificate(certificate, key)
        .require_client_certificates(clients.root())
        .revocation_lists(clients.revoked(&[7, 9]));
    let addr = listen(&server(&tls.build().unwrap())).await;
    let numbered = |number: u64| {
        let serial = Some(SerialNumber::from(number));
        known(&servers, &clients.issue_with("a.internal", |params| params.serial_number = serial))
    };
    is_alive(&dial(addr, &numbered(8)).await.unwrap()).await;
    let text = refusal(dial(addr, &numbered(9)).await).await;
    assert!(text.contains("was revoked"), "{text}");
}

#[tokio::test]
async fn an_authorization_can_ask_who_it_is() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = Server::builder()
        .tls(&mutual_server(&servers, &clients))
        .authorize(|call: netrpc::CallInfo| async move {
            match call.peer_identity().is_some_and(|who| who.dns_names() == ["a.internal"]) {
                true => Ok(()),
                false => Err(Fault::denied("only a")),
            }
        })
        .build();
    server.register(crate::Echo).unwrap();
    let addr = listen(&server).await;
    let a = dial(addr, &known(&servers, &clients.issue("a.internal"))).await.unwrap();
    is_alive(&a).await;
    let b = dial(addr, &known(&servers, &clients.issue("b.internal"))).await.unwrap();
    let error = soon(b.call::<_, u64>("Echo.Number", &7)).await.unwrap_err();
    assert!(!error.may_have_run() && error.to_string().contains("only a"), "{error}");
}

/// What a client is told that is not served, when it dials or when it calls.
pub async fn refusal(dialled: Result<Client, Error>) -> String {
    let error = match dialled {
        Err(error) => error,
        Ok(client) => soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap_err(),
    };
    assert!(!error.may_have_run(), "{error:?}");
    error.chain().to_string()
}
