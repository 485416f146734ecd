use netrpc::service;

struct Arith;

#[derive(Debug)]
enum ArithError {
    DivideByZero,
}

#[service]
impl Arith {
    fn divide(&self, (a, b): (i64, i64), reply: &mut i64) -> Result<(), ArithError> {
        *reply = a.checked_div(b).ok_or(ArithError::DivideByZero)?;
        Ok(())
    }
}

fn main() {}
