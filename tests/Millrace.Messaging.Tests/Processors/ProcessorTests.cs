using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>What a package that builds on messaging can rely on.</summary>
public sealed class ProcessorTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task A_partition_is_prepared_before_any_of_its_records_is_processed_however_often_that_fails()
    {
        Recorder recorder = new() { FailedPreparations = 2 };
        using IHost host = await _application.StartAsync(millrace => millrace.AddProcessor(Options(recorder)));
        await recorder.WriteAsync("a", "1");

        List<string> seen = await recorder.Seen.WaitAsync(items => items.Contains("a 1"));
        await host.StopAsync();

        int partition = recorder.PartitionOf["a 1"];
        Assert.Equal(
            [$"prepare {partition}", $"prepare {partition}", $"prepare {partition}", $"prepared {partition}", "a 1"],
            seen.Where(item => item == "a 1" || item.EndsWith($" {partition}", StringComparison.Ordinal)));
        Assert.Contains($"released {partition}", recorder.Seen.Items);
        Assert.Contains(_application.Logs, line => line.Contains("nothing of the partition is handled before", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_partition_that_is_being_prepared_waits_and_others_flow()
    {
        TaskCompletionSource prepared = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Recorder recorder = new() { PreparationOf = { [0] = prepared.Task } };
        using IHost host = await _application.StartAsync(millrace => millrace.AddProcessor(Options(recorder)));
        await recorder.WriteAsync("slow", "1", partition: 0);
        for (int i = 1; i <= 5; i++)
        {
            // Each is a fetch of its own, which brings what partition 0 has too.
            await recorder.WriteAsync("other", $"{i}", partition: 1);
            await recorder.Seen.WaitAsync(items => items.Contains($"other {i}"));
        }

        Assert.DoesNotContain("slow 1", recorder.Seen.Items);
        prepared.SetResult();
        await recorder.Seen.WaitAsync(items => items.Contains("slow 1"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_stop_does_not_wait_for_a_partition_that_cannot_be_prepared()
    {
        Recorder recorder = new() { FailedPreparations = int.MaxValue };
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Configure(options =>
            {
                options.RetryDelay = options.MaxRetryDelay = TimeSpan.FromHours(1);
                options.DrainTimeout = TimeSpan.FromMinutes(5);
            });
            millrace.AddProcessor(Options(recorder));
        });
        await recorder.WriteAsync("a", "1");
        await recorder.Seen.WaitAsync(items => items.Contains("prepare 0"));

        await host.StopAsync().WaitAsync(TestBroker.Patience);
        Assert.DoesNotContain("a 1", recorder.Seen.Items);
    }

    [Fact]
    public async Task A_record_that_fails_is_processed_again_before_the_next_of_its_key()
    {
        Recorder recorder = new() { FailuresOf = { ["a 1"] = 3 } };
        using IHost host = await _application.StartAsync(millrace => millrace.AddProcessor(Options(recorder)));
        await recorder.WriteAsync("a", "1");
        await recorder.WriteAsync("a", "2");
        await recorder.WriteAsync("b", "1");

        List<string> seen = await recorder.Seen.WaitAsync(items => items.Contains("a 2") && items.Contains("b 1"));
        await host.StopAsync();

        Assert.Equal(["a 1", "a 2"], seen.Where(item => item.StartsWith("a ", StringComparison.Ordinal)));
        Assert.Contains(_application.Logs, line => line.Contains("Attempt 3", StringComparison.Ordinal) && line.Contains("its key waits", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_was_processed_is_not_processed_again_after_a_stop()
    {
        Recorder before = new(), after = new();
        using (IHost host = await _application.StartAsync(millrace => millrace.AddProcessor(Options(before))))
        {
            await before.WriteAsync("a", "1");
            await before.Seen.WaitAsync(items => items.Contains("a 1"));
            await host.StopAsync();
        }

        using IHost again = await _application.StartAsync(millrace => millrace.AddProcessor(Options(after)));
        await after.WriteAsync("a", "2");
        await after.Seen.WaitAsync(items => items.Contains("a 2"));
        await again.StopAsync();
        Assert.DoesNotContain("a 1", after.Seen.Items);
    }

    [Theory]
    [InlineData("inbox")]
    [InlineData("inbox.state")]
    public async Task A_topic_with_another_partition_count_is_refused_with_what_to_do(string resized)
    {
        using (IHost host = await _application.StartAsync(millrace => millrace.AddProcessor(Options(new Recorder(), topic: resized) with { CompanionTopics = [] })))
            await host.StopAsync();

        using IHost again = _application.Build(millrace => millrace.AddProcessor(Options(new Recorder()) with { PartitionCount = 5 }));
        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => again.StartAsync());
        Assert.Contains($"The topic {resized} has 4 partitions, and 'place-order' works on exactly 5", failure.Message, StringComparison.Ordinal);
        Assert.Contains("Set the partition count of 'place-order' to 4", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_processor_that_is_put_together_wrongly_is_refused_at_the_start()
    {
        using IHost host = _application.Build(millrace =>
        {
            millrace.AddEndpoint("place-order", endpoint => endpoint.Handle<Heartbeat>(_ => { }));
            millrace.AddProcessor(Options(new Recorder()) with { PartitionCount = 0, MaxConcurrency = 0, CompanionTopics = [".."] });
        });
        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.Contains("both named 'place-order'", failure.Message, StringComparison.Ordinal);
        Assert.Contains("PartitionCount of the processor 'place-order' is 0", failure.Message, StringComparison.Ordinal);
        Assert.Contains("MaxConcurrency of the processor 'place-order' is 0", failure.Message, StringComparison.Ordinal);
        Assert.Contains("The topic '..' of the processor 'place-order' is not valid", failure.Message, StringComparison.Ordinal);
    }

    private static ProcessorOptions Options(Recorder recorder, string topic = "inbox") => new()
    {
        Name = "place-order",
        Topic = topic,
        PartitionCount = 4,
        CompanionTopics = ["inbox.state"],
        Create = services =>
        {
            recorder.Producer = services.Producer;
            return recorder;
        },
    };

    private sealed class Recorder : PartitionProcessor
    {
        private readonly ConcurrentDictionary<int, int> _preparations = new();

        public Seen<string> Seen { get; } = new();

        public ConcurrentDictionary<string, int> PartitionOf { get; } = new();

        public ConcurrentDictionary<string, int> FailuresOf { get; } = new();

        public ConcurrentDictionary<int, Task> PreparationOf { get; } = new();

        public int FailedPreparations { get; init; }

        public KafkaProducer? Producer { get; set; }

        public Task WriteAsync(string key, string value, int? partition = null) => Producer!.ProduceAsync(
            new ProducerRecord { Topic = "inbox", Partition = partition, Key = Encoding.UTF8.GetBytes(key), Value = Encoding.UTF8.GetBytes(value) }).AsTask();

        public override async ValueTask OnAssignedAsync(AssignedPartition assigned, CancellationToken cancellationToken)
        {
            TopicPartition partition = assigned.TopicPartition;
            Seen.Add($"prepare {partition.Partition}");
            await PreparationOf.GetValueOrDefault(partition.Partition, Task.CompletedTask).WaitAsync(cancellationToken);
            if (_preparations.AddOrUpdate(partition.Partition, 1, (_, count) => count + 1) <= FailedPreparations)
                throw new InvalidOperationException("The state cannot be read.");
            Seen.Add($"prepared {partition.Partition}");
        }

        public override void OnReleased(TopicPartition partition) => Seen.Add($"released {partition.Partition}");

        public override async Task ProcessAsync(ConsumerRecord record, CancellationToken cancellationToken)
        {
            string text = $"{Encoding.UTF8.GetString(record.Key!.Value.Span)} {Encoding.UTF8.GetString(record.Value!.Value.Span)}";
            await Task.Yield();
            if (FailuresOf.TryGetValue(text, out int failures) && failures > 0)
            {
                FailuresOf[text] = failures - 1;
                throw new InvalidOperationException("Not yet.");
            }

            PartitionOf[text] = record.TopicPartition.Partition;
            Seen.Add(text);
        }
    }
}
