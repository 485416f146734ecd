use netrpc::service;

struct Arith;

struct Number(i64);

#[service]
impl Arith {
    async fn sum(&self, numbers: Vec<Number>, reply: &mut i64) {
        *reply = numbers.iter().map(|number| number.0).sum();
    }
}

fn main() {}
