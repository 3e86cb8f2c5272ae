//! Which endpoint is chosen.

use std::time::Duration;

use patchgate_config::snapshot::BackendProtocol;

use super::*;

fn balancer(count: u16, policy: Policy) -> (Rc<Balancer>, Vec<Rc<Pool>>) {
    let addresses: Vec<_> = (1..=count).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let backend = Backend {
        name: "shop/stable".into(),
        service: patchgate_config::snapshot::ServiceId(0),
        version: "v1".into(),
        group: None,
        endpoints: addresses.clone(),
        may_mark: true,
    };
    let config = Arc::new(Balancing { policy, ..Balancing::default() });
    let balancer = Balancer::new(&backend, &config, &Arc::default()).unwrap();
    let pool = |address| Rc::new(Pool::new(address, BackendProtocol::Http1, None));
    (balancer, addresses.into_iter().map(pool).collect())
}

fn chosen(balancer: &Balancer, pools: &[Rc<Pool>], key: Option<u64>, random: &mut fastrand::Rng) -> u16 {
    let mut order = balancer.order(pools, Instant::now(), random.u64(..), |_| key);
    order.next().unwrap().endpoint().port()
}

fn eject(balancer: &Balancer, at: usize) {
    let config = &balancer.config.ejection;
    let now = balancer.endpoints.nanos(Instant::now());
    for _ in 0..config.consecutive_failures {
        balancer.endpoints.failed(&balancer.states, at, config, now);
    }
    assert!(balancer.states[at].is_ejected(now));
}

#[test]
fn two_different_ones_are_drawn_and_each_as_often() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut counts = [0; 5];
    for _ in 0..50_000 {
        let (one, other) = two_choices(5, random.u64(..));
        assert_ne!(one, other);
        counts[one] += 1;
        counts[other] += 1;
    }
    assert!(counts.iter().all(|count| (19_000..21_000).contains(count)), "{counts:?}");
}

#[test]
fn in_turn_each_is_chosen_as_often_and_an_ejected_one_not_at_all() {
    let (balancer, pools) = balancer(4, Policy::RoundRobin);
    let mut random = fastrand::Rng::with_seed(2);
    let turns: Vec<_> = (0..8).map(|_| chosen(&balancer, &pools, None, &mut random)).collect();
    assert_eq!(turns, [1, 2, 3, 4, 1, 2, 3, 4]);
    eject(&balancer, 0);
    let mut counts = [0; 5];
    (0..4_000).for_each(|_| counts[usize::from(chosen(&balancer, &pools, None, &mut random))] += 1);
    assert_eq!(counts[1], 0);
    assert!(counts[2..].iter().all(|count| (1_200..1_500).contains(count)), "{counts:?}");
}

#[test]
fn the_slow_and_the_busy_get_less() {
    let (balancer, pools) = balancer(2, Policy::PeakEwma);
    let mut random = fastrand::Rng::with_seed(3);
    pools[0].load.took(Duration::from_millis(100), Instant::now());
    pools[1].load.took(Duration::from_millis(1), Instant::now());
    assert!((0..100).all(|_| chosen(&balancer, &pools, None, &mut random) == 2));
    (0..1_000).for_each(|_| pools[1].load.begin());
    assert!((0..100).all(|_| chosen(&balancer, &pools, None, &mut random) == 1), "a thousand wait there");
}

#[test]
fn a_peak_counts_at_once_and_fades() {
    let (load, now) = (Load::default(), Instant::now());
    load.took(Duration::from_millis(1), now);
    load.took(Duration::from_secs(1), now);
    load.took(Duration::from_millis(1), now);
    assert!(load.peak_ewma(now) > 0.9);
    assert!(load.peak_ewma(now + Duration::from_secs(60)) < 0.01);
    load.failed(Duration::from_millis(1), now + Duration::from_secs(60));
    assert!(load.peak_ewma(now + Duration::from_secs(60)) > 0.9, "a fast failure is no good sign");
}

#[test]
fn when_one_of_many_goes_only_its_keys_move() {
    let key = patchgate_config::snapshot::StickyKey::ClientAddress;
    let (balancer, pools) = balancer(10, Policy::ConsistentHash(key));
    let mut random = fastrand::Rng::with_seed(4);
    let keys: Vec<u64> = (0..10_000u64).map(|user| xxh3_64(&user.to_le_bytes())).collect();
    let before: Vec<_> = keys.iter().map(|&key| chosen(&balancer, &pools, Some(key), &mut random)).collect();
    eject(&balancer, 6);
    let moved = keys.iter().zip(&before).filter(|&(&key, &before)| {
        let now = chosen(&balancer, &pools, Some(key), &mut random);
        assert!(now == before || before == 7, "a key of {before} moved to {now}");
        now != before
    });
    let moved = moved.count();
    assert!((850..1_150).contains(&moved), "{moved} of 10,000 keys, a tenth");
}

#[test]
fn what_is_left_out_is_not_tried_and_one_endpoint_is_no_choice() {
    let (balancer, pools) = balancer(3, Policy::LeastRequests);
    eject(&balancer, 1);
    let order = balancer.order(&pools, Instant::now(), 0, |_| None);
    let mut ports: Vec<_> = order.map(|pool| pool.endpoint().port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 3]);
    assert_eq!(Order::only(&pools[..1]).count(), 1);
}
