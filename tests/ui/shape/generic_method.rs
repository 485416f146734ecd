use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn length<T: AsRef<str>>(&self, text: T, reply: &mut usize) {
        *reply = text.as_ref().len();
    }
}

fn main() {}
