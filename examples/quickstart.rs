//! The example of the README, as it stands there. It prints
//!
//! ```text
//! hello occurs 2 times
//! 2 words are in the second text
//! ```

use std::collections::HashMap;

use netrpc::{Client, Server, service};

struct WordCountServer;

#[service]
impl WordCountServer {
    fn compute(&self, text: &str, counts: &mut HashMap<String, u64>) -> anyhow::Result<()> {
        for word in text.split_whitespace() {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::new();
    server.register(WordCountServer)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));

    let stub = WordCountServerClient::dial(addr).await?; // what #[service] has written beside it
    let counts = stub.compute("hello bye hello").await?; // typed, with the compiler's help
    println!("hello occurs {} times", counts["hello"]);

    let client = Client::dial(addr).await?; // or by name, as in Go
    let call = client.go::<_, HashMap<String, u64>>("WordCountServer.Compute", "good night");
    println!("{} words are in the second text", call.await?.len()); // the handle is a future
    Ok(())
}
