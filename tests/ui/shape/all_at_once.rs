use netrpc::{Server, service};

struct Arith {
    base: i64,
}

#[service(rename_all = "UPPER")]
impl Arith {
    fn new(base: i64) -> Self {
        Arith { base }
    }

    #[method(blocking, rapid)]
    fn double(&mut self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }

    fn multiply(&self, a: i64, b: i64, reply: &mut i64) {
        *reply = a * b;
    }

    fn base(&self) -> i64 {
        self.base
    }

    /// This one is right.
    fn square(&self, n: i64, reply: &mut i64) {
        *reply = n * n;
    }
}

async fn use_what_is_right(client: ArithClient) -> i64 {
    Server::new().register(Arith::new(2)).unwrap();
    client.square(7).await.unwrap()
}

fn main() {
    let _ = use_what_is_right;
}
