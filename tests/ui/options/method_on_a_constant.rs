use netrpc::service;

struct Arith;

#[service]
impl Arith {
    #[method(name = "Two")]
    const TWO: i64 = 2;

    fn double(&self, n: i64, reply: &mut i64) {
        *reply = Self::TWO * n;
    }
}

fn main() {}
