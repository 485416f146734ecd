use netrpc::service;

struct Bank;

#[service]
impl Bank {
    #[method(exactly_once)]
    fn transfer(&self, _: (), _reply: &mut u8) {}
}

fn main() {}
