use netrpc::service;

struct Users;

#[service]
impl Users {
    #[cfg(all())]
    #[method(name = "Get")]
    fn get_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    #[cfg(not(any()))]
    #[method(name = "Get")]
    fn get_user_of_old(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
