use netrpc::service;

#[service]
trait Storage {
    type Key;

    fn get(&self, key: Self::Key, reply: &mut String);
}

fn main() {}
