use netrpc::service;

struct Users;

#[service]
impl Users {
    fn get_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    #[method(name = "GetUser")]
    fn user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
