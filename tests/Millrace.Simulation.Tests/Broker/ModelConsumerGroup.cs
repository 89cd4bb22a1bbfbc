using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>What is known of a group whose members share partitions: who was told what in which generation, and who may still commit.</summary>
internal sealed class ModelConsumerGroup(string id, IReadOnlyDictionary<TopicPartition, ModelGroup> offsets)
{
    private readonly Dictionary<(int Generation, string MemberId), byte[]> _assignments = [];
    private int _newestGeneration = -1;

    public string Id => id;

    public ModelGroup this[TopicPartition partition] => offsets[partition];

    /// <summary>A member was told what it has in a generation.</summary>
    public void Assigned(int generation, string memberId, byte[] assignment)
    {
        if (_assignments.TryGetValue((generation, memberId), out byte[]? told))
        {
            Require.That(told.AsSpan().SequenceEqual(assignment), $"{memberId} has one assignment in generation {generation} of {id}");
        }

        foreach (((int other, string owner), byte[] taken) in _assignments)
        {
            Require.That(
                other != generation || owner == memberId || !taken.Intersect(assignment).Any(), $"no two members of {id} have the same partition in generation {generation}");
        }

        _assignments[(generation, memberId)] = assignment;
    }

    /// <summary>A member begins to ask where to go on, with the assignment of this generation: from here on nobody of an older one may commit.</summary>
    public void GoesOn(int generation) => _newestGeneration = Math.Max(_newestGeneration, generation);

    /// <summary>Whether a commit that is sent now is to be refused.</summary>
    public bool IsOver(int generation) => generation < _newestGeneration;
}
