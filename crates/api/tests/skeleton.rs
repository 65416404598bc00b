//! Every answer's shape, whatever the operation.

mod support;

use support::{Sent, World};

#[tokio::test]
async fn a_signed_question_after_an_unknown_operation_is_answered_in_the_shape_of_errors() {
    let world = World::new().await;
    let sent = Sent::new("GET", "/phoneNumbers/operations/search_1?api-version=2025-06-01")
        .header("x-ms-client-request-id", "7d3e");
    let answer = world.send(sent).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"));
    assert_eq!(answer.header("x-ms-client-request-id"), "7d3e");
    assert!(answer.header("api-supported-versions").ends_with("2025-06-01"));
}
