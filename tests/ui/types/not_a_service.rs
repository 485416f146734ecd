struct Arith;

impl Arith {
    #[allow(dead_code)]
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {
    netrpc::Server::new().register(Arith).unwrap();
}
