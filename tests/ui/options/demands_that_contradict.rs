use netrpc::{Context, service};

struct Bank;

#[service]
impl Bank {
    #[method(idempotent, at_most_once)]
    fn debit(&self, _: (), _reply: &mut u8) {}

    #[method(idempotent, exactly_once)]
    fn transfer(&self, _cx: &Context, _: (), _reply: &mut u8) {}

    #[method(at_most_once, exactly_once)]
    fn deposit(&self, _cx: &Context, _: (), _reply: &mut u8) {}
}

fn main() {}
