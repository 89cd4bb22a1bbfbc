using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>A transaction that has written and is never ended by its producer: a new one of the same id, or time, ends it.</summary>
internal sealed class AbandonedTransaction : IDisposable
{
    public const string Name = "abandoned";

    private const int RecordCount = 4;

    private readonly NativeProducer _producer;

    public AbandonedTransaction(StandaloneBroker broker, string topic, int round)
    {
        _producer = new NativeProducer(broker, [("transactional.id", Name), .. Patience.Settings, ("socket.timeout.ms", "2000"), ("transaction.timeout.ms", "2000")]);
        _producer.InitTransactions();
        _producer.BeginTransaction();
        for (int record = 0; record < RecordCount; record++)
        {
            _producer.Produce(topic, $"{Name}-{round}-{record}", partition: record % 2);
        }

        _producer.WaitForDeliveries(RecordCount);
    }

    /// <summary>Forgets the client; the broker is dead by now, or learns nothing.</summary>
    public void Dispose() => _producer.Dispose();
}
