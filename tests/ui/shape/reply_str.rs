use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn shout(&self, text: &str, reply: &mut str) {
        let _ = (text, reply);
    }
}

fn main() {}
