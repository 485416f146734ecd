use netrpc::service;

struct Users;

#[service]
impl Users {
    fn get(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    fn get_go(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
