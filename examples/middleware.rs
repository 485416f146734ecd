//! Middleware: a check of who calls, and layers of `tower` before the handlers.
//!
//! ```text
//! cargo run --example middleware --features tower
//! ```
//!
//! prints
//!
//! ```text
//! nobody: refused (Unauthenticated): show a token
//! mallory: refused (Unauthenticated): no such token
//! mallory: refused (Unauthenticated): no such token
//! ada: refused (Denied): only root may delete pictures
//! root: sunset.png is gone
//! ada: developed roll 1 for ada
//! ada: developed roll 2 for ada
//! ada: refused (Overloaded): the server has too much to do
//! ada: refused (Overloaded): the server has too much to do
//! ada: the deadline passed before the reply came
//! 3 rolls were begun
//! ```
//!
//! The check is a type that implements [`Authorize`]; closures of that shape do as well. It sees each call
//! before anything of it runs, with the name of its method and its metadata, and what it finds out, here
//! the user, the handlers find in their [`Context`]. Who is refused cannot even tell which methods there
//! are: `mallory` asks for one that is not there and gets the same answer.
//!
//! The layers are from the shelf. One stack serves all connections, so that the darkroom has room for two,
//! whoever sends them; those it has no room for are told so at once, and may ask again. A layer works for Go
//! programs too: they get the reasons as text.

use std::{collections::HashMap, sync::Arc, time::Duration};

use netrpc::{Authorize, CallInfo, CallOptions, Client, Context, Error, Fault, Server, service};
use tokio::sync::Semaphore;
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};

/// Who calls.
#[derive(Clone)]
struct User(String);

/// Who has which token.
struct Tokens(HashMap<&'static str, User>);

impl Authorize for Tokens {
    type Principal = User;

    async fn authorize(&self, call: &CallInfo) -> Result<User, Fault> {
        let token = call.metadata().get("token");
        let token = token.ok_or_else(|| Fault::unauthenticated("show a token"))?;
        let user = self.0.get(token).ok_or_else(|| Fault::unauthenticated("no such token"))?;
        if call.method() == "Delete" && user.0 != "root" {
            return Err(Fault::denied("only root may delete pictures"));
        }
        Ok(user.clone())
    }
}

struct Pictures {
    /// A roll is developed when there is light for it.
    light: Arc<Semaphore>,
    begun: Arc<Semaphore>,
}

#[service]
impl Pictures {
    async fn develop(&self, cx: &Context, roll: u32, reply: &mut String) -> anyhow::Result<()> {
        self.begun.add_permits(1);
        self.light.acquire().await?.forget();
        let user = cx.extension::<User>().map_or("nobody", |user| &*user.0);
        *reply = format!("developed roll {roll} for {user}");
        Ok(())
    }

    fn delete(&self, name: String, reply: &mut String) {
        *reply = format!("{name} is gone");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let tokens = [("6f1c", "ada"), ("e07b", "root")];
    let tokens = tokens.map(|(token, name)| (token, User(name.to_owned())));
    let server = Server::builder()
        .authorize(Tokens(HashMap::from(tokens)))
        .layer(
            ServiceBuilder::new()
                .layer(LoadShedLayer::new())
                .layer(ConcurrencyLimitLayer::new(2))
                .timeout(Duration::from_secs(1)),
        )
        .build();
    let (light, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    server.register(Pictures { light: light.clone(), begun: begun.clone() })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));

    let nobody = Client::dial(addr).await?;
    let holding = |token: &str| nobody.with(CallOptions::new().metadata("token", token));
    let (mallory, ada, root) = (holding("0000"), holding("6f1c"), holding("e07b"));
    tell("nobody", nobody.call("Pictures.Delete", "sunset.png").await);
    tell("mallory", mallory.call("Pictures.Delete", "sunset.png").await);
    tell("mallory", mallory.call("Pictures.Steal", "sunset.png").await);
    tell("ada", ada.call("Pictures.Delete", "sunset.png").await);
    tell("root", root.call("Pictures.Delete", "sunset.png").await);

    // Four at once, where there is room for two.
    let rolls = [1u32, 2, 3, 4].map(|roll| ada.go("Pictures.Develop", &roll));
    let [first, second, third, fourth] = rolls;
    let refused = [third.await, fourth.await];
    light.add_permits(2);
    tell("ada", first.await);
    tell("ada", second.await);
    refused.into_iter().for_each(|refused| tell("ada", refused));

    // There is no light for this one, and a call that is not answered within a second is given up.
    tell("ada", ada.call("Pictures.Develop", &5u32).await);
    println!("{} rolls were begun", begun.available_permits());
    Ok(())
}

/// Prints how a call went.
fn tell(who: &str, outcome: Result<String, Error>) {
    match outcome {
        Ok(reply) => println!("{who}: {reply}"),
        Err(Error::Refused { refusal, message }) => {
            println!("{who}: refused ({refusal:?}): {message}");
        }
        Err(error) => println!("{who}: {error}"),
    }
}
