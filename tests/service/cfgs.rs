//! Methods and services that are there on a condition.

use netrpc::{Service, service};

use crate::serve;

struct Platform;

#[service]
impl Platform {
    #[cfg(any())]
    fn never(&self, args: NoSuchType, reply: &mut NoSuchType) {
        *reply = no_such_function(args);
    }

    #[cfg(not(any()))]
    fn name(&self, _: (), reply: &mut String) {
        *reply = "this".to_owned();
    }

    #[cfg(any())]
    fn name(&self, _: (), reply: &mut String) {
        *reply = "other".to_owned();
    }

    #[cfg(not(any()))]
    #[method(name = "Page")]
    async fn page_size(&self, _: (), reply: &mut u32) {
        *reply = 4096;
    }

    #[cfg(any())]
    #[method(name = "Page")]
    async fn page_length(&self, _: (), reply: &mut u32) {
        *reply = 0;
    }

    #[deprecated(note = "it is for old clients")]
    fn old(&self, _: (), reply: &mut u32) {
        *reply = 1;
    }
}

#[service]
#[cfg(any())]
impl NoSuchService {
    fn get(&self, _: (), reply: &mut u8) {
        *reply = 1;
    }
}

#[service]
#[cfg(any())]
trait NoSuchTrait {
    fn get(&self, _: (), reply: &mut u8);
}

#[tokio::test]
async fn a_method_that_is_configured_out_is_in_no_table_and_no_stub() {
    assert_eq!(Platform::METHODS.len(), 3);
    let client = PlatformClient::new(serve!(Platform));
    assert_eq!(client.name().await.unwrap(), "this");
    assert_eq!(client.page_size().await.unwrap(), 4096);
    #[expect(deprecated)]
    let old = client.old().await;
    assert_eq!(old.unwrap(), 1);
}
