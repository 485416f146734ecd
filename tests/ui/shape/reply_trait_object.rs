use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn show(&self, n: i64, reply: &mut dyn std::fmt::Write) {
        write!(reply, "{n}").unwrap();
    }
}

fn main() {}
