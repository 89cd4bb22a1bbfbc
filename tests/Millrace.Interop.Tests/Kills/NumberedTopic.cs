using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>Checks what a <see cref="NumberingProducer"/> wrote, record by record, onward from the last check.</summary>
internal sealed class NumberedTopic(StandaloneBroker broker, NumberingProducer producer)
{
    private readonly PartitionReader _reader = new(broker, producer.Topic, partition: 0, "read_uncommitted");

    /// <summary>The numbers that are there; each below it is, unless the producer asks for no acknowledgement.</summary>
    private int _count;

    /// <summary>Everything that was promised is there, and with an idempotent producer each number once, in order.</summary>
    public async Task CheckAsync()
    {
        foreach (string value in await _reader.ReadOnAsync())
        {
            int number = int.Parse(value);
            if (producer.IsExactlyOnce)
            {
                Assert.True(number == _count, $"{producer.Topic}: {number} stands where {_count} belongs.");
            }
            else if (producer.PromisedCount > 0)
            {
                // Batches may be there twice, but nothing is left out: one request is on its way at a time.
                Assert.True(number <= _count, $"{producer.Topic}: {number} comes after {_count - 1}.");
            }

            _count = Math.Max(_count, number + 1);
        }

        Assert.True(
            _count >= producer.PromisedCount, $"{producer.Topic}: {producer.PromisedCount} numbers are acknowledged, and {_count} are there.");
    }
}
