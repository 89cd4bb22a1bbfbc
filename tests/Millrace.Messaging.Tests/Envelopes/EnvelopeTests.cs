using System.Text;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

public sealed class EnvelopeTests
{
    private static readonly TopicPartition s_partition = new("shop.events", 3);
    private static readonly DateTimeOffset s_recordTime = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);

    [Fact]
    public void The_headers_are_those_of_cloud_events_in_binary_mode_in_a_fixed_order()
    {
        Envelope envelope = new()
        {
            MessageId = "0198a3c2-7b1e-7000-8000-000000000001",
            Type = "shop.order-created.v1",
            Source = "Shop",
            Time = new DateTimeOffset(2026, 11, 22, 9, 30, 15, 120, TimeSpan.FromHours(1)),
            ContentType = EnvelopeHeaders.Json,
            CorrelationId = "chain-1",
            CausationId = "cause-1",
            TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            TraceState = "vendor=1",
        };

        List<RecordHeader> headers = envelope.Write([new("tenant", "blue")]);

        Assert.Equal(
            [
                "ce_specversion: 1.0",
                "ce_id: 0198a3c2-7b1e-7000-8000-000000000001",
                "ce_source: Shop",
                "ce_type: shop.order-created.v1",
                "ce_time: 2026-11-22T08:30:15.12Z",
                "content-type: application/json",
                "ce_correlationid: chain-1",
                "ce_causationid: cause-1",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "tracestate: vendor=1",
                "tenant: blue",
            ],
            headers.Select(header => $"{header.Key}: {Encoding.UTF8.GetString(header.Value!.Value.Span)}"));
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        Envelope written = new()
        {
            MessageId = "1", Type = "a.v1", Source = "App", Time = DateTimeOffset.UnixEpoch.AddTicks(12_345_678), ContentType = EnvelopeHeaders.Json,
            CorrelationId = "2", CausationId = "3", TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState = "v=1",
        };

        Assert.Equal(written, Envelope.Read(Record([.. written.Write([])])));
    }

    [Fact]
    public void A_record_without_any_header_is_named_by_its_coordinates()
    {
        Envelope envelope = Envelope.Read(Record([]));

        Assert.Equal("shop.events-3@42", envelope.MessageId);
        Assert.Equal("shop.events-3@42", envelope.CorrelationId);
        Assert.Null(envelope.Type);
        Assert.Equal(s_recordTime, envelope.Time);
        Assert.True(envelope.IsJson);
    }

    [Fact]
    public void A_time_that_is_none_is_replaced_by_the_record_s_own()
    {
        Assert.Equal(s_recordTime, Envelope.Read(Record([Header("ce_time", "yesterday")])).Time);
    }

    [Fact]
    public void Empty_and_null_headers_count_as_absent()
    {
        Envelope envelope = Envelope.Read(Record([Header("ce_id", ""), new RecordHeader("ce_type", null)]));

        Assert.Equal("shop.events-3@42", envelope.MessageId);
        Assert.Null(envelope.Type);
    }

    [Fact]
    public void Of_repeated_headers_the_last_counts()
    {
        Assert.Equal("new", Envelope.Read(Record([Header("ce_id", "old"), Header("ce_id", "new")])).MessageId);
    }

    [Fact]
    public void The_trace_of_the_cloud_events_extension_is_read_where_there_is_no_plain_one()
    {
        RecordHeader[] extension = [Header("ce_traceparent", "extension"), Header("ce_tracestate", "e=1")];

        Envelope alone = Envelope.Read(Record(extension));
        Envelope beside = Envelope.Read(Record([.. extension, Header("traceparent", "plain")]));

        Assert.Equal(("extension", "e=1"), (alone.TraceParent, alone.TraceState));
        Assert.Equal(("plain", null), (beside.TraceParent, beside.TraceState));
    }

    [Theory]
    [InlineData("application/json", true)]
    [InlineData("Application/JSON; charset=utf-8", true)]
    [InlineData("application/vnd.shop+json", true)]
    [InlineData("application/avro", false)]
    [InlineData("text/plain", false)]
    public void Json_is_told_from_other_bodies(string contentType, bool isJson)
    {
        Assert.Equal(isJson, Envelope.Read(Record([Header("content-type", contentType)])).IsJson);
    }

    [Fact]
    public void Ids_sort_by_time_and_repeat_with_their_seed()
    {
        MessageIdSource source = new(TimeProvider.System, new Random(1));
        Guid first = new MessageIdSource(new FixedTime(1_000), new Random(1)).Next();

        Assert.Equal(first, new MessageIdSource(new FixedTime(1_000), new Random(1)).Next());
        Assert.NotEqual(first, new MessageIdSource(new FixedTime(1_000), new Random(2)).Next());
        Assert.Equal(7, first.Version);
        Assert.True(string.CompareOrdinal(first.ToString(), new MessageIdSource(new FixedTime(1_001), new Random(3)).Next().ToString()) < 0);
        Assert.NotEqual(source.Next(), source.Next());
    }

    [Fact]
    public void A_derived_id_depends_on_each_of_its_parts()
    {
        Guid id = MessageIdSource.Derive("payment", "1", "a.v1", "key"u8, 0);

        Assert.Equal(id, MessageIdSource.Derive("payment", "1", "a.v1", "key"u8, 0));
        Assert.Equal(8, id.Version);
        Guid[] others =
        [
            MessageIdSource.Derive("shipping", "1", "a.v1", "key"u8, 0),
            MessageIdSource.Derive("payment", "2", "a.v1", "key"u8, 0),
            MessageIdSource.Derive("payment", "1", "b.v1", "key"u8, 0),
            MessageIdSource.Derive("payment", "1", "a.v1", "kez"u8, 0),
            MessageIdSource.Derive("payment", "1", "a.v1", "key"u8, 1),
            MessageIdSource.Derive("payment1", "", "a.v1", "key"u8, 0),
        ];
        Assert.DoesNotContain(id, others);
        Assert.Equal(others.Length, others.Distinct().Count());
    }

    private static RecordHeader Header(string key, string value) => new(key, Encoding.UTF8.GetBytes(value));

    private static ConsumerRecord Record(RecordHeader[] headers) => new(s_partition, new Offset(42), 0, s_recordTime, Key: null, Value: null, headers);

    private sealed class FixedTime(long milliseconds) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
    }
}
