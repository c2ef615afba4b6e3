//! Redis is killed while many rotate. Whether the last rotation was done nobody knows; asking again finds out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_of_rotations_signs_nobody_out() {
    let (mut redis, store) = store().await;
    let (done, failures) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (store, done, failures) = (store.clone(), done.clone(), failures.clone());
        clients.push(tokio::spawn(async move {
            let (mut token, mut rotations) = (begin(&store).await, 0_u64);
            while !done.load(Ordering::SeqCst) {
                // A retry comes in the same instant, as far as the family knows.
                let now = START.plus(Duration::from_millis(60 * rotations));
                match store.rotate(token.expose_secret(), "shop", None, now).await {
                    Ok(rotated) => {
                        token = rotated.refresh_token;
                        rotations += 1;
                    }
                    Err(RotateError::Store(_)) => {
                        failures.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(error) => panic!("signed out after {rotations} rotations: {error}"),
                }
            }
            rotations
        }));
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        redis.kill();
        redis.restart().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    done.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.expect("never signed out") > 0);
    }
    assert!(failures.load(Ordering::SeqCst) > 0, "the crashes were noticed");
}
