use netrpc::service;

struct Users;

#[service]
impl Users {
    fn dial(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
