using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>What the state machine of a transaction says of itself.</summary>
public sealed class TransactionStateTests
{
    [Theory]
    [InlineData(ErrorCode.TransactionAbortable, "Abort it; the producer can be used for the next one.")]
    [InlineData(ErrorCode.InvalidProducerEpoch, "Abort it: if another producer has the transactional id by now, the abort says so; otherwise this one can be used for the next transaction.")]
    public void A_failure_that_may_be_a_fencing_promises_no_next_transaction(ErrorCode error, string expected)
    {
        var state = new TransactionState("billing-1");
        state.SetIdentity(new ProducerIdentity(1, 0));
        state.Begin(isVersion2: true);
        state.Fail(new KafkaBrokerException("one:1 answered Produce.", error), needsNewEpoch: true);
        KafkaTransactionAbortableException failure = Assert.Throws<KafkaTransactionAbortableException>(() => state.ThrowIfNotOpen("A record"));
        Assert.EndsWith($"one:1 answered Produce. {expected}", failure.Message, StringComparison.Ordinal);
        Assert.Equal(error, failure.ErrorCode);
    }
}
