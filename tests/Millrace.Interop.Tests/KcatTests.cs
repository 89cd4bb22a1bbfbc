using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;

namespace Millrace.Interop.Tests;

/// <summary>An unmodified Kafka program against the broker as a process of its own.</summary>
public sealed class KcatTests
{
    [Fact]
    public async Task Kcat_lists_the_broker_as_controller_leader_and_only_replica()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", "3");
        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["one"]);

        using JsonDocument document = JsonDocument.Parse(string.Concat(await Kcat.RunAsync(broker, ["-L", "-J"])));

        JsonElement metadata = document.RootElement;
        JsonElement node = Assert.Single(metadata.GetProperty("brokers").EnumerateArray());
        int id = node.GetProperty("id").GetInt32();
        Assert.Equal(broker.Address, node.GetProperty("name").GetString());
        Assert.Equal(id, metadata.GetProperty("controllerid").GetInt32());
        JsonElement topic = Assert.Single(metadata.GetProperty("topics").EnumerateArray());
        Assert.Equal("orders", topic.GetProperty("topic").GetString());
        Assert.Equal([0, 1, 2], topic.GetProperty("partitions").EnumerateArray().Select(partition => partition.GetProperty("partition").GetInt32()));
        Assert.All(topic.GetProperty("partitions").EnumerateArray(), partition =>
        {
            Assert.Equal(id, partition.GetProperty("leader").GetInt32());
            Assert.Equal(id, Assert.Single(partition.GetProperty("replicas").EnumerateArray()).GetProperty("id").GetInt32());
            Assert.Equal(id, Assert.Single(partition.GetProperty("isrs").EnumerateArray()).GetProperty("id").GetInt32());
        });
    }

    [Fact]
    public async Task A_file_with_keys_and_headers_comes_back_equal_and_in_order()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", "3");
        (string Key, string Text)[] lines = [.. Corpus.Lines(10_000)];
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllLinesAsync(file, lines.Select(line => $"{line.Key}\t{line.Text}"));
            await Kcat.RunAsync(broker, ["-P", "-t", "text", "-K", "\t", "-H", "source=LICENSE", "-H", "copy=x=y", "-l", file]);
        }
        finally
        {
            File.Delete(file);
        }

        IReadOnlyList<KcatRecord> records = await Kcat.ReadAllAsync(broker, "text");

        Assert.Equal(lines, records.OrderBy(record => record.Key, StringComparer.Ordinal).Select(record => (record.Key!, record.Payload ?? "")));
        Assert.All(records, record => Assert.Equal([("source", "LICENSE"), ("copy", "x=y")], record.Headers));
        Assert.Equal(3, records.Select(record => record.Partition).Distinct().Count());
        Assert.All(records.GroupBy(record => record.Partition), partition =>
        {
            Assert.Equal(Enumerable.Range(0, partition.Count()).Select(offset => (long)offset), partition.Select(record => record.Offset));
            Assert.Equal(partition.Select(record => record.Key).Order(StringComparer.Ordinal), partition.Select(record => record.Key));
        });
    }

    [Fact]
    public async Task A_whole_file_as_one_record_comes_back_byte_for_byte()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await Kcat.RunAsync(broker, ["-P", "-t", "files", "-k", "LICENSE", Corpus.LicencePath]);

        IReadOnlyList<string> output = await Kcat.RunAsync(broker, ["-C", "-t", "files", "-e", "-q", "-D", "", "-f", "%s"]);

        Assert.Equal(await File.ReadAllLinesAsync(Corpus.LicencePath), output);
    }

    [Fact]
    public async Task A_killed_broker_keeps_its_records_and_its_committed_offsets()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        (string Key, string Text)[] lines = [.. Corpus.Lines(100)];
        await Kcat.RunAsync(broker, ["-P", "-t", "orders", "-K", "\t"], lines.Select(line => $"{line.Key}\t{line.Text}"));
        IReadOnlyList<string> before = await ConsumeAsGroupAsync(broker, 40);

        await broker.KillAsync();
        await broker.StartAgainAsync();

        IReadOnlyList<string> after = await ConsumeAsGroupAsync(broker, 60);
        Assert.Equal(lines.Select(line => line.Key), before.Concat(after));
        Assert.Equal(100, (await Kcat.ReadAllAsync(broker, "orders")).Count);
    }

    [Fact]
    public async Task A_stopped_broker_starts_again_with_everything()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["one", "two"]);

        await broker.StopAsync();
        await broker.StartAgainAsync();

        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["three"]);
        Assert.Equal(["one", "two", "three"], (await Kcat.ReadAllAsync(broker, "orders")).Select(record => record.Payload));
    }

    [Fact]
    public async Task An_idempotent_producer_writes_each_record_once_though_the_broker_is_killed_under_it()
    {
        Kcat.Require();
        const int RecordCount = 6_000;
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["record 0"]);
        await using RunningProgram producer = Kcat.Start(
            broker, "-P", "-E", "-t", "orders", "-X", "enable.idempotence=true", "-X", "batch.num.messages=20");
        await using RunningProgram reader = Kcat.Start(broker, "-C", "-E", "-u", "-q", "-t", "orders");

        await WriteAsync(1, 1_000);
        await reader.WaitUntilAsync("the first records are read", (output, _) => output.Count >= 100);
        Task writing = WriteAsync(1_000, RecordCount);
        await reader.WaitUntilAsync("more records are read", (output, _) => output.Count >= 1_200);
        await broker.KillAsync();
        await broker.StartAgainAsync();
        await writing;
        producer.CloseInput();
        await producer.RequireSuccessAsync();

        Assert.Equal(
            Enumerable.Range(0, RecordCount).Select(number => $"record {number}"),
            (await Kcat.ReadAllAsync(broker, "orders")).Select(record => record.Payload));

        async Task WriteAsync(int from, int to)
        {
            for (int number = from; number < to; number++)
            {
                await producer.WriteLineAsync($"record {number}");
            }
        }
    }

    [Fact]
    public async Task Our_producer_and_a_murmur2_producer_of_librdkafka_put_a_key_in_the_same_partition()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", "7");
        string[] keys = [.. Enumerable.Range(0, 200).Select(number => $"key-{new string('é', number % 5)}{number}")];
        await Kcat.RunAsync(
            broker, ["-P", "-t", "theirs", "-K", ":", "-X", "topic.partitioner=murmur2_random"], keys.Select(key => $"{key}:x"));
        Dictionary<string, int> theirs = (await Kcat.ReadAllAsync(broker, "theirs"))
            .ToDictionary(record => record.Key!, record => record.Partition, StringComparer.Ordinal);

        Dictionary<string, int> ours = new(StringComparer.Ordinal);
        await using (KafkaClient client = new(new KafkaClientOptions { BootstrapServers = broker.Address }, TimeProvider.System, NullLoggerFactory.Instance))
        await using (KafkaProducer producer = client.CreateProducer())
        {
            foreach (string key in keys)
            {
                ProducerRecord record = new() { Topic = "ours", Key = System.Text.Encoding.UTF8.GetBytes(key) };
                ours[key] = (await producer.ProduceAsync(record)).TopicPartition.Partition;
            }
        }

        Assert.Equal(theirs.OrderBy(pair => pair.Key, StringComparer.Ordinal), ours.OrderBy(pair => pair.Key, StringComparer.Ordinal));
        Assert.Equal(7, theirs.Values.Distinct().Count());
    }

    private static Task<IReadOnlyList<string>> ConsumeAsGroupAsync(StandaloneBroker broker, int recordCount)
        => Kcat.RunAsync(
            broker, ["-G", "readers", "-q", "-c", $"{recordCount}", "-X", "auto.offset.reset=earliest", "-f", "%k\\n", "orders"]);
}
