use netrpc::service;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }

    async fn triple(&self, n: i64, reply: &mut i64) {
        *reply = 3 * n;
    }
}

fn main() {}
