use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn length(&self, text: impl AsRef<str>, reply: &mut usize) {
        *reply = text.as_ref().len();
    }
}

fn main() {}
