using System.Diagnostics;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>Checks what a reader of committed records sees of transactions, record by record, onward from the last check.</summary>
internal sealed class TransactionalTopic(StandaloneBroker broker, string topic, params IReadOnlyList<TransactionalProducer> producers)
{
    private readonly PartitionReader[] _readers = [new(broker, topic, 0, "read_committed"), new(broker, topic, 1, "read_committed")];
    private readonly Dictionary<string, int> _seenByTransaction = new(StringComparer.Ordinal);
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);

    /// <summary>
    /// Reads on until every one of these transactions is there. The one that was abandoned hides what comes after it until its time is
    /// up, which the broker has to remember across the kill.
    /// </summary>
    public async Task CheckAsync()
    {
        string[] committed = [.. producers.SelectMany(producer => producer.Committed.Keys)];
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            foreach (PartitionReader reader in _readers)
            {
                Note(await reader.ReadOnAsync());
            }

            string[] missing = [.. committed.Where(transaction => _seenByTransaction.GetValueOrDefault(transaction) < TransactionalProducer.RecordCount)];
            if (missing.Length == 0)
            {
                break;
            }

            Assert.True(waited.Elapsed < RunningProgram.Deadline, $"{topic}: these were committed, and are not whole after {waited.Elapsed}: {string.Join(", ", missing.Take(5))}");
        }

        foreach (string aborted in producers.SelectMany(producer => producer.Aborted.Keys))
        {
            Assert.False(_seenByTransaction.ContainsKey(aborted), $"{topic}: {aborted} was aborted, and is there.");
        }

        // Those whose end their producer never learnt included.
        Assert.All(
            _seenByTransaction,
            seen => Assert.True(seen.Value == TransactionalProducer.RecordCount, $"{topic}: of {seen.Key} {seen.Value} records are there."));
    }

    private void Note(IReadOnlyList<string> values)
    {
        foreach (string value in values)
        {
            Assert.True(_seen.Add(value), $"{topic}: {value} is there twice.");
            string transaction = value[..value.LastIndexOf('-')];
            Assert.False(transaction.StartsWith(AbandonedTransaction.Name, StringComparison.Ordinal), $"{topic}: {value} was never committed, and is there.");
            _seenByTransaction[transaction] = _seenByTransaction.GetValueOrDefault(transaction) + 1;
        }
    }
}
