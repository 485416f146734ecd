use netrpc::service;

struct Users;

#[service]
impl Users {
    #[method(alias = "GetUser")]
    fn get_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
