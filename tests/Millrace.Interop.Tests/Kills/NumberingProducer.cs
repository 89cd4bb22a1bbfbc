using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>
/// Writes the numbers 0, 1, 2 and so on to a topic of its own, ten a step, and knows how many of them are acknowledged.
/// </summary>
internal sealed class NumberingProducer : ISteadyProducer
{
    private const int BatchCount = 10;

    private readonly NativeProducer _producer;
    private readonly bool _isAcknowledged;
    private readonly Task _running;
    private int _acknowledgedCount;

    public NumberingProducer(StandaloneBroker broker, string topic, string acks, bool isIdempotent)
    {
        Topic = topic;
        _isAcknowledged = acks != "0";
        IsExactlyOnce = isIdempotent;
        _producer = new NativeProducer(
            broker,
            [("acks", acks), ("enable.idempotence", isIdempotent ? "true" : "false"), ("max.in.flight", isIdempotent ? "5" : "1"), .. Patience.Settings]);
        _running = Task.Factory.StartNew(Run, TaskCreationOptions.LongRunning);
    }

    public string Topic { get; }

    /// <summary>Whether each number is written once, whatever happens.</summary>
    public bool IsExactlyOnce { get; }

    public Task Running => _running;

    /// <summary>How many numbers, from 0 on, the broker has promised to keep.</summary>
    public int PromisedCount => _isAcknowledged ? Volatile.Read(ref _acknowledgedCount) : 0;

    public Steps Steps { get; } = new();

    public async Task StopAsync()
    {
        Steps.Stop();
        await _running;
        Steps.Dispose();
        _producer.Dispose();
    }

    private void Run()
    {
        for (int next = 0; Steps.WaitForNext(); next += BatchCount)
        {
            for (int number = next; number < next + BatchCount; number++)
            {
                _producer.Produce(Topic, $"{number}");
            }

            try
            {
                _producer.WaitForDeliveries(BatchCount);
            }
            catch (NativeClientException) when (!_isAcknowledged)
            {
                // What was on its way when the broker died is lost, which is all that acks=0 says.
            }

            Volatile.Write(ref _acknowledgedCount, next + BatchCount);
            Steps.Took();
        }
    }
}
