//! Importing: both formats, nothing of a file with bad lines, bringing up to date, beside reservations.

use std::{collections::BTreeSet, fmt::Write, io::Cursor, time::Duration};

use super::bench::{Bench, PARTITIONS, POLICY, accept_on, clock, now};
use crate::{
    apply_batch::{Fences, Work, apply},
    domain::{fence::Partition, inventory::ItemId, reservation::Status},
    import::{BadLine, Format, ImportError, Imported, OnProgress, Options, Progress, run},
    store::search::Query,
};

async fn import(
    bench: &Bench,
    text: &str,
    format: Format,
    skip_bad: bool,
) -> Result<Imported, ImportError> {
    let reader = Cursor::new(text.as_bytes().to_vec());
    run(bench.store.sql(), reader, format, Options { skip_bad }, clock(), Box::new(|_| ())).await
}

async fn count(bench: &Bench) -> usize {
    bench.store.list_items(None, 0, 1000).await.expect("a list").len()
}

#[tokio::test]
async fn all_lines_or_none() {
    for bench in Bench::each().await {
        let text = "{\"sku\":\"a\",\"name\":\"A\",\"quantity\":1}\n\
                    {\"name\":\"broken\"\n\
                    \n\
                    {\"sku\":\"a\",\"name\":\"twice\",\"quantity\":1}\n\
                    {\"name\":\"no quantity\"}\n\
                    {\"sku\":\"b\",\"name\":\"B\",\"quantity\":2,\"attributes\":{\"city\":\"Busan\"}}";
        let Err(ImportError::BadLines(bad)) = import(&bench, text, Format::Ndjson, false).await
        else {
            panic!("there are bad lines");
        };
        let lines: Vec<u64> = bad.first.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [2, 4, 5]);
        assert!(bad.first[1].reason.contains("line 1"), "{bad:?}");
        assert_eq!(count(&bench).await, 0);
        let done = import(&bench, text, Format::Ndjson, true).await.expect("imported");
        assert_eq!((done.created, done.updated, done.bad.count), (2, 0, 3));
        let found = bench.store.list_items(Query::parse("busan").as_ref(), 0, 10).await;
        assert_eq!(found.expect("a list")[0].about.name, "B");
    }
}

#[tokio::test]
async fn a_known_sku_is_brought_up_to_date() {
    for bench in Bench::each().await {
        let csv = "sku,name,quantity,price_minor,currency,starts_at,city\n\
                   s1,\"One, two\",10,500,KRW,2026-11-20T09:00:00Z,Seoul\n\
                   s2,Two,5,,,,\n";
        let done = import(&bench, csv, Format::Csv, false).await.expect("imported");
        assert_eq!(done.created, 2);
        let again = import(&bench, csv, Format::Csv, false).await.expect("imported");
        assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 2));
        let item = bench.store.list_items(None, 0, 1).await.expect("a list").remove(0);
        assert_eq!(item.about.name, "One, two");
        assert_eq!(item.about.attributes["city"], "Seoul");
        let asked = now();
        bench.accept(&[(item.id, 4)], None).await;
        let fences = bench.own_all(PARTITIONS, "a").await.into_iter().collect();
        let due = bench
            .store
            .due(
                &(0..PARTITIONS).map(Partition::new).collect::<BTreeSet<_>>(),
                now().plus(Duration::from_secs(5)),
                10,
            )
            .await
            .expect("due");
        assert!(due.iter().all(|due| due.since >= asked), "{due:?}");
        let work: Vec<_> = due
            .into_iter()
            .map(|due| Work { id: due.id, partition: due.partition, answer: None })
            .collect();
        let policy = POLICY;
        apply(&bench.store, &fences, &work, &policy, now()).await.expect("applied");
        // What is held stays; below that it cannot go.
        let more = "sku,name,quantity\ns1,Renamed,12\n";
        let done = import(&bench, more, Format::Csv, false).await.expect("imported");
        assert_eq!((done.created, done.updated), (0, 1));
        let stock = bench.stock(item.id).await;
        assert_eq!((stock.quantity(), stock.available(), stock.held()), (12, 8, 4));
        let less = "sku,name,quantity\ns2,New,1\ns1,Renamed,3\n";
        let Err(ImportError::BadLines(bad)) = import(&bench, less, Format::Csv, false).await else {
            panic!("four are held");
        };
        let reason = "quantity must be at least 4: so many are held or sold already".to_owned();
        assert_eq!(bad.first, [BadLine { line: 3, reason }]);
        let two = bench.store.list_items(Query::parse("s2").as_ref(), 0, 1).await.expect("a list");
        assert_eq!(two[0].about.name, "Two", "all or nothing");
    }
}

#[tokio::test]
async fn csv_mistakes_are_named() {
    let bench = Bench::sqlite().await;
    let head = import(&bench, "sku,title\na,b\n", Format::Csv, true).await;
    assert!(matches!(head, Err(ImportError::File(_))), "{head:?}");
    let csv = "name,quantity,price_minor,currency\nA,x,,\nB,1,5,\nC,1\nD,1,5,KRW\n";
    let done = import(&bench, csv, Format::Csv, true).await.expect("imported");
    assert_eq!(done.created, 1);
    let lines: Vec<u64> = done.bad.first.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [2, 3, 4], "{:?}", done.bad);
    let twice = import(&bench, "name,quantity,name\nA,1,B\n", Format::Csv, true).await;
    assert!(matches!(twice, Err(ImportError::File(_))), "{twice:?}");
    // Line ends as Windows has them, blank lines, and a line break in a field.
    let csv = "\u{feff}name,quantity\r\nA,x\r\n\r\n\r\n\"B\r\nb\",y\r\nC\r\n\r\nD,1\r\n,1\r\n";
    let done = import(&bench, csv, Format::Csv, true).await.expect("imported");
    let lines: Vec<u64> = done.bad.first.iter().map(|bad| bad.line).collect();
    assert_eq!((done.created, lines), (1, vec![2, 5, 7, 10]), "{:?}", done.bad);
}

/// Reserves three of `item` as soon as some of the import is written and some is not, as the API and a worker
/// would, and does not wait long for it.
async fn reserve_meanwhile(bench: &Bench, item: ItemId) -> OnProgress {
    let store = bench.another().await;
    let other = bench.another().await;
    let fences: Fences = bench.own_all(PARTITIONS, "a").await.into_iter().collect();
    let mut once = Some((store, other, fences));
    Box::new(move |progress| {
        let Progress::Writing { items, of } = progress else { return };
        let Some((store, other, fences)) = once.take_if(|_| items < of) else { return };
        let reserved = async {
            let id = accept_on(&store, &[(item, 3)], None).await;
            let partition = Partition::of(item, PARTITIONS);
            let work = [Work { id, partition, answer: None }];
            apply(&other, &fences, &work, &POLICY, now()).await.expect("applied").changed
        };
        let limited = tokio::time::timeout(Duration::from_secs(2), reserved);
        let runtime = tokio::runtime::Handle::current();
        let changed = tokio::task::block_in_place(|| runtime.block_on(limited));
        let changed = changed.expect("nobody waits for the end of an import");
        assert_eq!(changed.first().map(|(_, status)| *status), Some(Status::Held));
    })
}

/// `hot` as it is now, between two crowds of other items.
fn crowd(hot: &str, first: bool) -> String {
    let mut text = String::new();
    if first {
        text.push_str(hot);
    }
    for number in 0..9000 {
        let _infallible =
            writeln!(text, "{{\"sku\":\"c{number}\",\"name\":\"C {number}\",\"quantity\":1}}");
    }
    if !first {
        text.push_str(hot);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_go_on_beside_an_import() {
    for bench in Bench::each().await {
        let hot = "{\"sku\":\"hot\",\"name\":\"Hot\",\"quantity\":10}\n";
        import(&bench, hot, Format::Ndjson, false).await.expect("imported");
        let item = bench.store.list_items(None, 0, 1).await.expect("a list").remove(0).id;
        // Written already when somebody wants it: its row is free again.
        let text = crowd(&hot.replace("10", "20"), true);
        let meanwhile = reserve_meanwhile(&bench, item).await;
        let done = import_while(&bench, &text, meanwhile).await;
        assert_eq!((done.created, done.updated, done.bad.count), (9000, 1, 0));
        let stock = bench.stock(item).await;
        assert_eq!((stock.quantity(), stock.available(), stock.held()), (20, 17, 3));
        // Not written yet when more of it is taken than it would have: it stays, and is named.
        let text = crowd(&hot.replace("10", "5"), false).replace("\"C ", "\"Crowd ");
        let meanwhile = reserve_meanwhile(&bench, item).await;
        let done = import_while(&bench, &text, meanwhile).await;
        assert_eq!((done.created, done.updated, done.unchanged), (0, 9000, 0));
        let lines: BTreeSet<u64> = done.bad.first.iter().map(|bad| bad.line).collect();
        assert_eq!((done.bad.count, lines), (1, [9001].into()));
        let stock = bench.stock(item).await;
        assert_eq!((stock.quantity(), stock.available(), stock.held()), (20, 14, 6));
    }
}

async fn import_while(bench: &Bench, text: &str, progress: OnProgress) -> Imported {
    let reader = Cursor::new(text.as_bytes().to_vec());
    let options = Options::default();
    let done = run(bench.store.sql(), reader, Format::Ndjson, options, clock(), progress).await;
    done.expect("imported")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_of_the_same_items_take_turns() {
    for bench in Bench::each().await {
        let text = crowd("", true);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.reverse();
        let backwards = lines.join("\n");
        let nothing = || -> OnProgress { Box::new(|_| ()) };
        let (one, other) = tokio::join!(
            import_while(&bench, &text, nothing()),
            import_while(&bench, &backwards, nothing())
        );
        assert_eq!(one.created + other.created, 9000, "{one:?} {other:?}");
        assert_eq!(one.unchanged + other.unchanged, 9000, "{one:?} {other:?}");
        assert_eq!(one.updated + other.updated, 0, "{one:?} {other:?}");
    }
}
