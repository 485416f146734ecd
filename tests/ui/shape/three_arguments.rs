use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn sum(&self, cx: &netrpc::Context, a: &str, b: Vec<u8>, c: i64) -> Result<i64, String> {
        let _ = (cx, a, b);
        Ok(c)
    }
}

fn main() {}
