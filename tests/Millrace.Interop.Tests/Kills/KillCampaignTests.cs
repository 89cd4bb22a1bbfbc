using System.Diagnostics;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>
/// SIGKILL, again and again, while producers of every level of acknowledgement and of transactions write; after each start everything
/// that was promised is there. A kill leaves the page cache: what a loss of power would do is the simulation's to show.
/// </summary>
/// <remarks>MILLRACE_KILL_ROUNDS says how often; CONTRIBUTING has the command for a hundred.</remarks>
public sealed class KillCampaignTests
{
    private const int DefaultRoundCount = 4;

    /// <summary>The steps that each producer has taken in a round when the kill comes; most have more to take.</summary>
    private const int StepsBeforeKill = 3;

    private const int NumberingStepCount = 200;
    private const int TransactionCount = 12;

    private static int RoundCount => int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_KILL_ROUNDS"), out int count) ? count : DefaultRoundCount;

    [Fact]
    public async Task Kills_lose_nothing_that_was_acknowledged_show_nothing_that_was_aborted_and_repeat_nothing_that_is_idempotent()
    {
        Kcat.Require();
        Librdkafka.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", "2");
        NumberingProducer[] numbering =
        [
            new(broker, "acks-0", "0", isIdempotent: false),
            new(broker, "acks-1", "1", isIdempotent: false),
            new(broker, "acks-all", "all", isIdempotent: false),
            new(broker, "idempotent", "all", isIdempotent: true),
        ];
        TransactionalProducer[] transactional = [new(broker, "transactions", "first"), new(broker, "transactions", "second")];
        NumberedTopic[] numbered = [.. numbering.Select(producer => new NumberedTopic(broker, producer))];
        TransactionalTopic committed = new(broker, "transactions", transactional);
        ISteadyProducer[] producers = [.. numbering, .. transactional];

        for (int round = 0; round < RoundCount; round++)
        {
            AbandonedTransaction abandoned = new(broker, "transactions", round);
            int[] before = [.. producers.Select(producer => producer.Steps.TakenCount)];
            Array.ForEach(numbering, producer => producer.Steps.Allow(NumberingStepCount));
            Array.ForEach(transactional, producer => producer.Steps.Allow(TransactionCount));
            await WaitAsync(producers, "begun", (producer, index) => producer.Steps.TakenCount >= before[index] + StepsBeforeKill);
            await broker.KillAsync();
            abandoned.Dispose();
            await broker.StartAgainAsync();
            await WaitAsync(producers, "done", (producer, _) => producer.Steps.AreAllTaken);

            await Task.WhenAll(numbered.Select(topic => topic.CheckAsync()));
            await committed.CheckAsync();
        }

        await Task.WhenAll(producers.Select(producer => producer.StopAsync()));
    }

    /// <summary>Waits until each producer has come to a point, and fails with what stopped one.</summary>
    private static async Task WaitAsync(ISteadyProducer[] producers, string what, Func<ISteadyProducer, int, bool> hasCome)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!producers.Select(hasCome).All(has => has))
        {
            Assert.True(
                waited.Elapsed < RunningProgram.Deadline,
                $"Not all producers are {what} after {waited.Elapsed}: {string.Join(", ", producers.Select(producer => producer.Steps.TakenCount))}.");
            foreach (ISteadyProducer stopped in producers.Where(producer => producer.Running.IsCompleted))
            {
                await stopped.Running;
            }

            // Real time: the producers are on threads of their own, and nothing tells when they get on.
            await Task.Delay(TimeSpan.FromMilliseconds(10));
        }
    }
}
