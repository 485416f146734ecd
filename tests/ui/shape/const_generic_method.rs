use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn length<const N: usize>(&self, text: [u8; N], reply: &mut usize) {
        *reply = text.len();
    }
}

fn main() {}
