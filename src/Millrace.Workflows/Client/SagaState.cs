using System.Text.Json.Serialization;

namespace Millrace;

/// <summary>Where an instance of a saga stands.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<SagaState>))]
public enum SagaState
{
    /// <summary>Its steps are under way.</summary>
    Running,

    /// <summary>It failed, and its undos are under way.</summary>
    Compensating,

    /// <summary>All its steps succeeded.</summary>
    Completed,

    /// <summary>It failed, and everything that may have happened was undone.</summary>
    Compensated,

    /// <summary>It can go neither forward nor back by itself: an undo failed, or a step failed after the pivot, or its code no longer agrees with its history.</summary>
    NeedsAttention,
}
